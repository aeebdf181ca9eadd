import ArgumentParser
import Engine

/// Which project, and its parameters.
struct ProjectOptions: ParsableArguments {
    @Option(
        name: [.customShort("p"), .long, .customLong("project-dir")],
        help: ArgumentHelp("The project's folder.", valueName: "dir"))
    var project = "."

    @Option(
        name: .customLong("param"),
        help: ArgumentHelp("A parameter of the project, as name=value; repeat for more.", valueName: "name=value"))
    var parameters: [String] = []

    @Option(
        name: [.customShort("n"), .long],
        help: ArgumentHelp(
            "The namespace that names of tables without one mean; the project file's, else 'bauplan'.",
            valueName: "name"))
    var namespace: String?

    @Flag(
        inversion: .prefixedNo,
        help:
            """
            Whether an expectation that is not met, and a result that is not as its model declares, fail the run. Without either: as the \
            models are written, see docs/bauplan.md.
            """)
    var strict: Bool?

    @Option(
        name: .customLong("source"),
        help: ArgumentHelp(
            "A source table in Parquet files, as name=path, beside those of the project file; repeat for more.",
            valueName: "name=path"))
    var sources: [String] = []

    @Flag(
        name: .customLong("no-stream"),
        help: "Decode all sources before models read them: let no SQL model read the files by itself.")
    var noStream = false

    // For tests of single models: tables that are read from files instead of being made.
    @Option(name: .customLong("replace"), help: .hidden)
    var replaced: [String] = []

    func validate() throws {
        for parameter in parameters where !parameter.dropFirst().contains("=") {
            throw ValidationError("'--param \(parameter)' is not name=value")
        }
        for source in sources + replaced where !source.dropFirst().contains("=") {
            throw ValidationError("'--source \(source)' is not name=path")
        }
    }

    /// What the project is read for.
    func request(query: String? = nil, isDryRun: Bool = false) -> PlanRequest {
        var request = PlanRequest()
        request.isDryRun = isDryRun
        request.parameters = parameters
        request.namespace = namespace
        request.isStrict = strict
        request.sources = sources
        request.mayStream = !noStream
        request.replaced = replaced
        request.query = query
        return request
    }
}

/// How the result is printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case tty, json
}

/// The options of an engine.
struct EngineOptionGroup: ParsableArguments {
    @Flag(
        name: .customLong("no-sandbox"),
        help: "Run models as ordinary processes, without isolation. For machines that forbid namespaces.")
    var noSandbox = false

    @Flag(
        name: .customLong("no-arena"),
        help:
            "Do not preload the arena: results are moved by KernelZero where it is loaded, else copied. For comparison."
    )
    var noArena = false

    @Flag(
        name: .customLong("no-kernelzero"),
        help: "Do not use the KernelZero module: what is not born shared is copied. For comparison.")
    var noKernelZero = false

    @Option(
        name: .long, parsing: .unconditional,
        help: ArgumentHelp("How many models may run at once; as many as there are cores by default.", valueName: "n"))
    var jobs: Int?

    @Option(
        name: .long, parsing: .unconditional,
        help: ArgumentHelp(
            "The most memory that the run may take, its tables included, as 512MiB or 4GiB; of 'serve': all runs together.",
            valueName: "size"), transform: ByteSize.init)
    var memory: ByteSize?

    @Option(
        name: .customLong("evict"),
        help: ArgumentHelp(
            """
            What becomes of tables that nobody reads when memory is short. adaptive: what costs least of the others. drop: they are made \
            again when somebody wants them. spill: written to disk. swap: pushed out to swap. limit: the kernel pushes them out. none: \
            models wait.
            """, valueName: "way"))
    var eviction: EvictionPolicy?

    @Option(
        name: .customLong("spill-dir"),
        help: ArgumentHelp(
            "The folder on disk that tables, and SQL engines, spill to: TMPDIR, else /var/tmp. Nothing is left there.",
            valueName: "dir"))
    var spillFolder: String?

    @Option(
        name: .customLong("cache-dir"),
        help: ArgumentHelp(
            "Keep results in this folder, for later runs; nobody else may be able to write to it. Without it they are kept while 'zerrow serve' lives.",
            valueName: "dir"))
    var cacheFolder: String?

    func validate() throws {
        if let jobs, jobs < 1 { throw ValidationError("--jobs must be 1 or more") }
    }

    /// The option that an engine that serves can't be given; nil if there is none.
    var ownEngineOption: String? {
        eviction != nil ? "--evict" : spillFolder != nil ? "--spill-dir" : cacheFolder != nil ? "--cache-dir" : nil
    }

    /// Replaces folders by their absolute paths. Throws `EngineError.options` for one that can't be used.
    mutating func checkFolders() throws {
        spillFolder = try spillFolder.map { try FolderOption(option: "--spill-dir", path: $0).checked() }
        cacheFolder = try cacheFolder.map {
            try FolderOption(option: "--cache-dir", path: $0, madeWithMode: 0o700, isPrivate: true).checked()
        }
    }

    /// These options in the form that the engine takes.
    var engineOptions: EngineOptions {
        var options = EngineOptions()
        options.isSandboxed = !noSandbox
        options.hasArena = !noArena
        options.hasKernelZero = !noKernelZero
        if let jobs { options.slots = jobs }
        options.memoryBytesMax = memory?.bytes
        if let eviction { options.eviction = eviction }
        options.spillFolder = spillFolder
        options.cacheFolder = cacheFolder
        return options
    }
}

/// The options of a run.
struct RunOptionGroup: ParsableArguments {
    @Flag(name: .customLong("keep-going"), help: "When a model fails, still run what does not need it.")
    var keepGoing = false

    @Flag(name: .customLong("no-serve"), help: "Use an engine of its own also where one serves (see 'zerrow serve').")
    var noServe = false

    @Flag(
        name: .customLong("no-cache"),
        help: "Run all models: take no result from an earlier run, keep none for a later one.")
    var noCache = false

    @Flag(name: .customLong("no-decache"), help: "Decode all that is scanned: share nothing of it with other scans.")
    var noDeCache = false

    @Option(
        name: .long, parsing: .unconditional,
        help: ArgumentHelp(
            "The most seconds that a model may run which has no timeout of its own; instead of the project file's.",
            valueName: "seconds"))
    var timeout: Double?

    @Flag(name: .long, help: "Let interactive runs of the same engine go first: priority 1.")
    var batch = false

    @Option(
        name: .long, parsing: .unconditional,
        help: ArgumentHelp(
            """
            Which runs of the same engine are served first: 10 before 9, and so on; 5 without. Those behind have their turn all the same, \
            only more rarely.
            """, valueName: "1-10"))
    var priority: Int?

    @Option(
        name: [.customShort("r"), .long],
        help: ArgumentHelp("The branch. There is one, 'main'.", valueName: "branch"))
    var ref: String?

    @Option(
        name: [.customShort("a"), .customLong("arg")],
        help: ArgumentHelp(
            "An argument for Bauplan's engine, as name=value: noted, and ignored.", valueName: "name=value"))
    var arguments: [String] = []

    // For the Python package: a socket on which tables are handed over.
    @Option(name: .customLong("hand-tables"), help: .hidden)
    var handTables: Int32?

    /// The one branch.
    static let branch = "main"

    func validate() throws {
        if let timeout, !(timeout > 0 && timeout.isFinite) {
            throw ValidationError("--timeout must be a positive number of seconds")
        }
        if let priority {
            guard RunOptions.priorities.contains(priority) else {
                throw ValidationError("--priority must be a number from 1 to 10, and 10 goes first")
            }
            if batch { throw ValidationError("--batch is a priority: give one of --batch and --priority") }
        }
        if let ref, ref != Self.branch {
            throw ValidationError("there is no branch '\(ref)': the tables have one, '\(Self.branch)'; leave --ref out")
        }
        for argument in arguments where !argument.dropFirst().contains("=") {
            throw ValidationError("'--arg \(argument)' is not name=value")
        }
    }

    /// The priority of the run.
    var chosenPriority: Int { priority ?? (batch ? RunOptions.batchPriority : RunOptions().priority) }
}

extension EvictionPolicy: ExpressibleByArgument {}
