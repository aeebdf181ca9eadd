import FoundationEssentials
import Glibc
import Sandbox
import System

/// Lists a project's parameters, and changes their declarations and secrets.
///
/// The project's files are read by a process without any right, as a plan's are (`python/zerrow/plan/parameter_tool.py`); it says what they
/// are to become, and this writes them: each as a whole, in place of what was.
public struct ParameterTool {
    /// A parameter as the project declares it, with the value that a run would take.
    public struct Parameter: Codable, Sendable {
        /// Its name.
        public var name: String
        /// `str`, `int`, `float`, `bool`, `secret`.
        public var type: String
        /// The value that the project file gives it; null for a secret.
        @Nullable public var `default`: JSONValue?
        /// The value that a run takes; null where there is none, and for a secret.
        @Nullable public var value: JSONValue?
        /// Where the value comes from: `default`, a variable, `zerrow_parameters.yml`; null where there is none.
        @Nullable public var source: String?
        /// Whether a run has to be given it.
        public var required: Bool
        /// What the project says of it.
        @Nullable public var description: String?
        /// The file that declares it.
        public var file: String
        /// The line in that file.
        public var line: Int
        /// What is wrong with its value; null when nothing is.
        @Nullable public var problem: String?
    }

    /// A change.
    public struct Change: Sendable {
        /// The value, as text: the default, or a secret; nil: none is given.
        public var value: String?
        /// The type; nil: as it is, or as the value looks.
        public var type: String?
        /// A sentence about it.
        public var description: String?
        /// Whether a run has to be given it; nil: as it is.
        public var isRequired: Bool?
        /// Whether a change that may break something is meant.
        public var isForced = false

        /// No change.
        public init() {}
    }

    /// What was written.
    public struct Done: Sendable {
        /// The parameter's type; nil where there was none.
        public var type: String?
        /// The names of the files that changed.
        public var files: [String]
    }

    private struct Answer: Decodable {
        struct Write: Decodable {
            var file: String
            var content: String
            var `private`: Bool
        }
        var errors: [Plan.Problem]?
        var parameters: [Parameter]?
        var writes: [Write]?
        var type: String?
    }

    private static let memoryBytesMax: UInt64 = 2 << 30
    private static let outputBytesMax = 16 << 20
    /// The files that a change may write.
    private static let files: Set<String> = [
        "bauplan_project.yml", "bauplan_project.yaml", "zerrow_project.yml", "zerrow_project.yaml",
        "zerrow_parameters.yml",
        ".gitignore",
    ]
    /// How long another change of the project is waited for, in tenths of a second.
    private static let turnsMax = 100

    private let installation: Installation
    private let environment: [String: String]
    private let folder: String
    private let isSandboxed: Bool

    /// The parameters of the project in a folder.
    public init(
        _ folder: String, installation: Installation, environment: [String: String], isSandboxed: Bool
    ) throws(EngineError) {
        guard let real = Path.resolved(folder), Files.isFolder(real) else {
            throw .options("\(folder) is no folder: name a project's folder with -p")
        }
        self.folder = real
        self.installation = installation
        self.environment = environment
        self.isSandboxed = isSandboxed
    }

    /// All that the project declares.
    public func list() throws -> [Parameter] { try ask(["ls"]).parameters ?? [] }

    /// Declares a parameter, or changes what is declared of it.
    public func set(_ name: String, _ change: Change) throws -> Done {
        try withTurn {
            var arguments = ["set", "--project", folder]
            var secret: String?
            if let type = change.type { arguments += ["--type", type] }
            if try change.type == "secret" || change.type == nil && isSecret(name) {
                secret = change.value
            } else if let value = change.value {
                arguments.append("--value=\(value)")
            }
            if let text = change.description { arguments.append("--description=\(text)") }
            if let isRequired = change.isRequired { arguments += ["--required", "\(isRequired)"] }
            if change.isForced { arguments.append("--force") }
            return try write(try ask(arguments + ["--", name], secret: secret))
        }
    }

    /// Removes a parameter's declaration, and its value where this project keeps it.
    public func remove(_ name: String, isForced: Bool) throws -> Done {
        try withTurn { try write(try ask(["rm"] + (isForced ? ["--force"] : []) + ["--", name])) }
    }

    /// Whether the project declares a secret of that name.
    public func isSecret(_ name: String) throws -> Bool {
        try list().contains { $0.name == name && ["secret", "vault"].contains($0.type) }
    }

    // MARK: Reading

    private func ask(_ arguments: [String], secret: String? = nil) throws -> Answer {
        let start =
            "import sys; sys.path.insert(0, sys.argv[1]); from zerrow.plan.parameter_tool import main; "
            + "sys.exit(main(sys.argv[2:]))"
        let ignoreFiles = IgnoreFiles(above: folder, environment)
        var arguments = arguments
        if !arguments.contains("--project") { arguments.insert(contentsOf: ["--project", folder], at: 1) }
        arguments.insert(contentsOf: ignoreFiles.arguments, at: 1)
        var variables = environment.filter { $0.key.hasPrefix("ZERROW_PARAM_") }
        for name in ["HOME", "XDG_CONFIG_HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH"] {
            variables[name] = environment[name]
        }
        variables["ZERROW_SECRET_VALUE"] = secret
        let spec = ReaderSpec(
            arguments: [installation.python, "-I", "-X", "utf8", "-c", start, installation.pythonFolder] + arguments,
            environment: variables,
            readPaths: try installation.interpreterFolders(installation.python) + [installation.pythonFolder, folder]
                + ignoreFiles.files,
            isSandboxed: isSandboxed, memoryBytesMax: Self.memoryBytesMax,
            outputBytesMax: UInt64(Self.outputBytesMax))
        var limits = try PlannerLimits(environment, machineBytes: nil)
        limits.memoryBytesMax = Self.memoryBytesMax
        // It asks for no environment and no table: it reads no models.
        let environments = EnvironmentResolver(
            installation, environment, isSandboxed: isSandboxed, signals: nil
        ) { _ in }
        let result = try PlannerProcess(
            spec: spec, limits: limits, environments: environments, signals: nil, catalog: CatalogAnswers(environment)
        ).run()
        guard case .exited(let code) = result.ending, code == 0 || code == 1, JSONShape(result.output).excess == nil,
            let answer = try? JSONDecoder().decode(Answer.self, from: Data(result.output))
        else {
            throw EngineError.planner("\(result.ending)\n" + String(decoding: result.errors, as: UTF8.self))
        }
        if let errors = answer.errors, !errors.isEmpty { throw EngineError.project(errors) }
        return answer
    }

    // MARK: Writing

    /// Only one change of a project is made at a time: each begins with what the one before has written.
    private func withTurn<Result>(_ body: () throws -> Result) throws -> Result {
        let lock = try Folder(folder)
        var turns = 0
        // Where a file system has no locks on folders, nobody waits.
        while (try? lock.lockIfFree()) == false {
            turns += 1
            guard turns < Self.turnsMax else {
                throw EngineError.options("\(folder) is in use by another command: try again when that is over")
            }
            usleep(100_000)
        }
        defer { withExtendedLifetime(lock) {} }
        return try body()
    }

    private func write(_ answer: Answer) throws -> Done {
        let writes = answer.writes ?? []
        for write in writes where !Self.files.contains(write.file) {
            throw EngineError.planner("its answer is for a file that it can't change")
        }
        for write in writes { try self.write(write) }
        return Done(type: answer.type, files: writes.map(\.file))
    }

    /// Writes a file, in place of what has its name; a link in the project is followed to what it leads to there.
    private func write(_ write: Answer.Write) throws {
        let path = "\(folder)/\(write.file)"
        let real = Files.linkTarget(path) == nil ? path : Path.resolved(path) ?? path
        guard real.hasPrefix(folder == "/" ? "/" : folder + "/") else {
            throw EngineError.options("\(path) is a link that leaves the project: put the file itself in its place")
        }
        let place = try Folder(Path.parent(real))
        let name = String(real.split(separator: "/").last ?? "")
        let old = try place.status(of: name)
        let mode: mode_t = write.private ? 0o600 : old?.mode ?? 0o644
        do {
            let file = try PendingFile(in: place, mode: 0o600)
            try file.file.descriptor.writeAll(Array(write.content.utf8), at: 0)
            try file.file.descriptor.synchronize()
            if let old, old.owner != geteuid() { _ = fchown(file.file.raw, old.owner, gid_t.max) }
            // A new file's mode is less the umask, an old one's is kept.
            guard fchmod(file.file.raw, old == nil && !write.private ? mode & ~Self.umask : mode) == 0 else {
                throw SystemError.reason(errno).asProblem(path)
            }
            try file.replace(as: name)
        } catch let error as SystemError {
            throw EngineError.options("\(path) can't be written: \(SystemError.reason(error.errno))")
        }
    }

    private static var umask: mode_t {
        let mask = Glibc.umask(0o077)
        _ = Glibc.umask(mask)
        return mask
    }
}

extension String {
    fileprivate func asProblem(_ path: String) -> EngineError { .options("\(path) can't be written: \(self)") }
}
