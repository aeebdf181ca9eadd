import Engine
import Glibc
import System

/// Versions, places, and who serves: what `zerrow info` shows.
struct Info {
    /// In the order in which people read it; a value that isn't there says why.
    private(set) var rows: [(String, String)] = []
    /// The same for programs.
    private(set) var members: [String: JSONValue] = [:]

    private static let outputBytesMax = 64 << 10

    /// Finds it all out; runs the interpreter and uv for their versions.
    init(_ environment: [String: String], project: String) throws {
        let installation = try Installation.find(environment: environment)
        add("zerrow", "version", Command.version)
        add("installation", "home", installation.home)
        let versions = Self.versions(installation)
        add("python", "python", versions["python"].map { "\($0) (\(installation.python))" }, json: versions["python"])
        for name in ["pyarrow", "duckdb", "datafusion", "polars", "pandas", "numpy"] { add(name, name, versions[name]) }
        add("uv", "uv", Self.uvVersion(installation, environment))
        add("user", "user", UserName.own)
        let address = try ServeAddress(nil, environment: environment)
        let isServing = RemoteEngine(at: address) != nil
        add("engine that serves", "engine", isServing ? address.path : nil, "none ('zerrow serve' starts one)")
        add("history", "history", History.path(environment), "none")
        add("jobs", "jobs", JobFolder.path(environment), "none")
        add("environments", "environments", try? EnvironmentCache.place(environment), "none")
        addProject(project)
    }

    /// The project in the folder, if there is one.
    private mutating func addProject(_ folder: String) {
        let names = ["bauplan_project.yml", "bauplan_project.yaml", "zerrow_project.yml", "zerrow_project.yaml"]
        let file = names.last { Files.exists("\(folder)/\($0)") }
        let path = file.flatMap { _ in Path.resolved(folder) }
        add("project", "project", path, "none here")
        if let file { add("project file", "project_file", file) }
    }

    private mutating func add(
        _ name: String, _ key: String, _ value: String?, _ none: String = "unknown", json: String? = nil
    ) {
        rows.append((name, value ?? none))
        members[key] = (json ?? value).map { .string($0) } ?? .null
    }

    /// The versions of Python and of packages.
    private static func versions(_ installation: Installation) -> [String: String] {
        let code = """
            import json, platform
            from importlib import metadata
            found = {"python": platform.python_version()}
            for name in ("pyarrow", "duckdb", "datafusion", "polars", "pandas", "numpy"):
                try:
                    found[name] = metadata.version(name)
                except metadata.PackageNotFoundError:
                    pass
            print(json.dumps(found))
            """
        let text = output(of: [installation.python, "-I", "-c", code]) ?? ""
        guard case .object(let members)? = JSONValue(parsing: Array(text.utf8)) else { return [:] }
        return members.compactMapValues(\.string)
    }

    /// The version of the uv that makes environments.
    private static func uvVersion(_ installation: Installation, _ environment: [String: String]) -> String? {
        guard let uv = EnvironmentTools.findUV(installation, environment),
            let words = output(of: [uv, "--version"])?.split(whereSeparator: \.isWhitespace),
            words.count > 1, words[0] == "uv"
        else { return nil }
        return String(words[1])
    }

    /// What a program prints; nil where it fails.
    private static func output(of words: [String]) -> String? {
        guard let file = try? FileDescriptor.memory(named: "output", bytes: 0, sealable: false),
            let child = try? ChildProcess(
                words, environment: nil, folder: "/", output: .descriptor(file.raw), errors: .null),
            (try? child.wait()) == .exited(0), let bytes = try? file.status().bytes, bytes <= outputBytesMax
        else { return nil }
        return (try? file.bytes(0..<bytes)).map { String(decoding: $0, as: UTF8.self) }
    }
}
