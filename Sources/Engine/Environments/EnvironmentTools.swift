import Glibc
import System

/// The tools by which environments are made: uv, and the interpreters that it finds.
public struct EnvironmentTools: Sendable {
    /// An interpreter.
    struct Interpreter: Sendable, Equatable {
        /// Its real path: the sandbox shows workers only the folders that it is installed in.
        let path: String
        /// `3.12.1`.
        let version: String
    }

    /// A tool that failed, in its own words.
    struct Failure: Error {
        let text: String
    }

    /// Variables that say which interpreter or environment is meant: each call says that itself. Values of parameters may be secret.
    private static let droppedVariables: Set<String> = [
        "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT",
        "UV_PROJECT", "UV_WORKING_DIRECTORY", "UV_REQUIRE_HASHES", "UV_NO_VERIFY_HASHES", "UV_COMPILE_BYTECODE",
        "UV_LINK_MODE", "UV_BREAK_SYSTEM_PACKAGES", "UV_VENV_CLEAR", "UV_VENV_SEED", "UV_NO_BINARY",
        "UV_CUSTOM_COMPILE_COMMAND",
        "UV_TORCH_BACKEND", "UV_EXCLUDE", "LD_PRELOAD",
    ]

    /// The oldest Python 3 that zerrow's workers run with.
    static let minorMin = 10

    /// uv; nil where it isn't installed.
    let uv: String?
    /// zerrow's own Python code, which environments compile for their Python: sandboxes can't.
    let pythonFolder: String
    private let executable: String
    private let variables: [String: String]

    init(_ installation: Installation, _ environment: [String: String]) {
        executable = installation.executable
        pythonFolder = installation.pythonFolder
        uv = Self.findUV(installation, environment)
        var variables = environment.filter { name, _ in
            !Self.droppedVariables.contains(name) && !name.hasPrefix("ZERROW_") && !name.hasPrefix("PYTHON")
        }
        variables["NO_COLOR"] = "1"
        variables["UV_NO_PROGRESS"] = "1"
        variables["PATH"] = Self.path(environment)
        self.variables = variables
    }

    /// uv: what `ZERROW_UV` names, else the one on the PATH, else the one that the launcher has installed. Nil where there is none.
    public static func findUV(_ installation: Installation, _ environment: [String: String]) -> String? {
        if let named = environment["ZERROW_UV"], !named.isEmpty { return Files.isRegular(named) ? named : nil }
        let folders = (environment["PATH"] ?? "").split(separator: ":").filter { $0.hasPrefix("/") }
        return (folders.map { $0 + "/uv" } + [installation.home + "/.zerrow/uv/bin/uv"])
            .first { Files.isRegular($0) && access($0, X_OK) == 0 }
    }

    /// Where uv looks for interpreters. A shim of pyenv's is none: in its place stand the folders of pyenv's versions.
    private static func path(_ environment: [String: String]) -> String {
        let folders = (environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map(String.init)
            .filter { $0.hasPrefix("/") }
        let own = pyenvFolders(environment)
        let hasShims = folders.contains { $0.hasSuffix("/shims") }
        let replaced = folders.flatMap { $0.hasSuffix("/shims") ? own : [$0] }
        return (hasShims ? replaced : folders + own).joined(separator: ":")
    }

    /// The folders of pyenv's interpreters, the newest first.
    private static func pyenvFolders(_ environment: [String: String]) -> [String] {
        let root = environment["PYENV_ROOT"] ?? environment["HOME"].map { $0 + "/.pyenv" }
        guard let root, let names = try? Files.list(root + "/versions") else { return [] }
        let versions = names.compactMap { name -> [Int]? in
            let parts = name.split(separator: ".").map { Int($0) }
            guard parts.count == 3, parts[0] == 3, parts.allSatisfy({ $0 != nil }), parts[1]! >= minorMin else {
                return nil
            }
            return parts.map { $0! }
        }
        let newestFirst = versions.sorted { $1.lexicographicallyPrecedes($0) }
        return newestFirst.map { "\(root)/versions/\($0.map(String.init).joined(separator: "."))/bin" }
    }

    /// Starts uv with some arguments.
    ///
    /// - Throws: `Failure` where there is no uv.
    func start(_ arguments: [String], folder: String, lock: DescriptorBox? = nil) throws -> ToolProcess {
        guard let uv else {
            throw Failure(
                text: "uv is not installed, which makes environments: 'pip install uv', or set ZERROW_UV to its path")
        }
        return try start(program: [uv] + arguments, folder: folder, lock: lock)
    }

    /// Starts a program.
    func start(program: [String], folder: String, lock: DescriptorBox?) throws(SystemError) -> ToolProcess {
        try ToolProcess(program, executable: executable, variables: variables, folder: folder, lock: lock)
    }

    /// The interpreter of a version, or at a path: one that is installed, else one that uv can fetch.
    ///
    /// - Throws: `Failure`, which says what is there; `EngineError.interrupted` when one of the descriptors is readable first.
    func interpreter(_ wanted: String, folder: String, unless stopping: [Int32], note: (String) -> Void) throws
        -> Interpreter
    {
        let name = wanted.hasPrefix("/") ? wanted : "cpython@\(wanted)"
        let find = ["python", "find", "--system", "--no-project"]
        func found() throws -> String? {
            let result = try start(find + ["--no-python-downloads", name], folder: folder).finish(unless: stopping)
            return result.isSuccess ? Path.resolved(Self.line(result.output)) : nil
        }
        var path = try found()
        if path == nil, !wanted.hasPrefix("/") {
            note("fetching Python \(wanted)")
            let fetched = try start(["python", "install", "--no-bin", name], folder: folder).finish(unless: stopping)
            path = fetched.isSuccess ? try found() : nil
            if path == nil {
                throw Failure(text: try missing(wanted, fetched.errors, folder: folder, unless: stopping))
            }
        }
        guard let path else { throw Failure(text: "the interpreter \(wanted) can't be used") }
        let asked = try start(find + ["--show-version", path], folder: folder).finish(unless: stopping)
        guard asked.isSuccess else { throw Failure(text: asked.errors) }
        return Interpreter(path: path, version: Self.line(asked.output))
    }

    /// Why there is no interpreter of a version.
    private func missing(_ version: String, _ reason: String, folder: String, unless stopping: [Int32]) throws -> String
    {
        let there = try versions(folder: folder, unless: stopping)
        let list = there.isEmpty ? "no other is" : "\(there.joined(separator: ", ")) \(there.count == 1 ? "is" : "are")"
        let why =
            reason.split(separator: "\n").last.map { ": \($0.trimmingPrefix { $0 == " " }.trimmingPrefix("cause: "))" }
            ?? ""
        return "there is no Python \(version) on this machine (\(list)), and uv can't fetch it\(why)"
    }

    /// The versions of the interpreters that are installed.
    ///
    /// - Throws: `Failure` where there is no uv.
    func versions(folder: String, unless stopping: [Int32] = []) throws -> [String] {
        // Who only asks leaves nothing in uv's cache.
        let listing = ["python", "list", "--only-installed", "--no-cache", "--output-format", "json"]
        let result = try start(listing, folder: folder).finish(unless: stopping)
        let entries = JSONValue(parsing: result.output)?.array ?? []
        var seen: Set<String> = []
        return entries.compactMap { $0["version"]?.string }.filter { version in
            let parts = version.split(separator: ".").map { Int($0) ?? 0 }
            return parts.count > 1 && parts[0] == 3 && parts[1] >= Self.minorMin && seen.insert(version).inserted
        }
    }

    private static func line(_ output: [UInt8]) -> String {
        String(decoding: output.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}
