import FoundationEssentials
import Glibc
import Sandbox
import System

/// What a project is read for, beside its folder.
public struct PlanRequest: Sendable {
    /// Values of parameters, each as `name=value`.
    public var parameters: [String] = []
    /// The namespace that bare names of tables mean; nil: the project's own.
    public var namespace: String?
    /// Whether expectations that aren't met, and results that aren't as declared, fail the run; nil: as each model is written.
    public var isStrict: Bool?
    /// Source tables beside the project file's, each as `name=path`.
    public var sources: [String] = []
    /// Tables that are read from Parquet files instead of being made, each as `name=path`.
    public var replaced: [String] = []
    /// Selectors of the models that are wanted, with what they need; empty: all.
    public var selectors: [String] = []
    /// Selectors of models that are not wanted.
    public var excluded: [String] = []
    /// Whether no table is published.
    public var isDryRun = false
    /// One more model, as SQL, which is all that is wanted.
    public var query: String?
    /// Whether SQL models may read sources by themselves.
    public var mayStream = true
    /// The format that workers write the last tables' files in, as the planner calls it; nil: they write none.
    public var exportFormat: String?
    /// The most memory that the run may take, in bytes; nil: what an engine takes that is told nothing.
    public var memoryBytesMax: UInt64?

    /// A request for the project as it is.
    public init() {}

    /// The same as the planner's arguments. Paths are made absolute: the planner has no current folder.
    var arguments: [String] {
        var arguments = parameters.flatMap { ["--param", $0] }
        if let namespace { arguments += ["--namespace", namespace] }
        if let isStrict { arguments.append(isStrict ? "--strict" : "--no-strict") }
        if isDryRun { arguments.append("--dry-run") }
        for (option, sources) in [("--source", sources), ("--replace", replaced)] {
            for source in sources {
                let parts = source.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                let path = parts.count > 1 ? String(parts[1]) : ""
                let whole = path.hasPrefix("/") || path.hasPrefix("~") ? path : (Path.resolved(".") ?? ".") + "/" + path
                arguments += [option, "\(parts[0])=\(whole)"]
            }
        }
        // A selector may begin with anything.
        arguments += selectors.map { "--select=\($0)" } + excluded.map { "--exclude=\($0)" }
        if let query { arguments += ["--query", query] }
        if !mayStream { arguments.append("--no-stream") }
        if let exportFormat { arguments += ["--export-format", exportFormat] }
        if let bytes = memoryBytesMax ?? Engine.memoryBytesMax(EngineOptions()) {
            arguments += ["--memory", "\(bytes)"]
        }
        return arguments
    }
}

/// What a planner printed.
private struct PlannerOutput {
    let bytes: [UInt8]
    /// Keeps the catalog's files that it was told of.
    let pin: (any Sendable)?
    /// The planner's process, where its end has not been waited for.
    let remains: (any Sendable)?
    /// The environments that it was told of.
    let environments: EnvironmentResolver
}

/// Runs the Python front end, which reads a project without importing its code (`docs/plan.md`).
///
/// The project is a stranger's, so the planner is a process without any rights: it sees the project, Python and zerrow's own
/// code, and asks the engine for names and footers of the project's sources (`SourceAnswers`).
struct Planner {
    let installation: Installation
    let environment: [String: String]
    /// Folders that runs write to: files in them are no part of the project.
    let writtenFolders: [String]
    /// Whether it has namespaces of its own; without them it is isolated as far as an ordinary process can be.
    var isSandboxed = true
    /// Where signals arrive that end it early, as `EngineError.interrupted`.
    var signals: SignalDescriptor?
    /// Where an engine may serve that has a warm planner.
    var servedAt: ServeAddress?

    /// Reads the project in `folder`; with `prepares`, makes sources that are missing by the project's own command.
    ///
    /// Throws `EngineError.project` with all that is wrong with it, or `EngineError.planner` when the planner itself failed.
    func plan(
        folder: String, _ request: PlanRequest, prepares: Bool, note: @escaping (String) -> Void
    ) throws -> Plan {
        // A plan that is only looked at needs no code; a run finds a wrong filter in its first scan.
        let first = try read(folder, request, isToRun: prepares, note)
        guard prepares, first.prepare != nil else { return first }
        let turn = try PrepareTurn(first.project.folder, signals: signals, note: note)
        // The run that had the turn before may have made all of it.
        let plan = try read(folder, request, isToRun: true, note)
        guard let prepare = plan.prepare else { return plan }
        note(
            "making \(prepare.missing.joined(separator: ", ")) with the project's prepare command: "
                + prepare.command.joined(separator: " "))
        try self.prepare(prepare, turn)
        let again = try read(folder, request, isToRun: true, note)
        if let left = again.prepare?.missing {
            throw EngineError.prepare(
                "the project's prepare command succeeded but made no \(left.joined(separator: ", ")): "
                    + "compare its output folder with the sources in the project file")
        }
        return again
    }

    /// The tables that there are: those of the catalog, and the project's sources.
    ///
    /// - Parameter name: the one that is wanted, with more of it; nil: all.
    func tables(folder: String, _ request: PlanRequest, name: String?) throws -> TableListing {
        let folder = try Self.found(folder)
        let wanted = name.map { ["--table=\($0)"] } ?? ["--tables"]
        return try TableListing(try output(["--project", folder] + wanted + request.arguments, folder, { _ in }).bytes)
    }

    private func read(
        _ folder: String, _ request: PlanRequest, isToRun: Bool, _ note: @escaping (String) -> Void
    ) throws -> Plan {
        let folder = try Self.found(folder)
        var arguments = ["--project", folder, "--engine", try installation.build()]
        arguments.append(isToRun ? "--hand-over" : "--check-filters")
        arguments += request.arguments
        // Links are followed here: the planner sees none that lead there.
        for folder in writtenFolders { arguments += ["--writes", Path.resolved(folder) ?? folder] }
        let output = try output(arguments, folder, note)
        var plan = try PlannerAnswer.plan(output.bytes)
        try check(plan, folder, output.environments)
        plan.pin = output.pin
        plan.planner = output.remains
        return plan
    }

    /// What the planner prints.
    private func output(
        _ arguments: [String], _ folder: String, _ note: @escaping (String) -> Void
    ) throws -> PlannerOutput {
        let limits = try PlannerLimits(environment, machineBytes: Engine.memoryBytesThere.map { UInt64($0) })
        let environments = EnvironmentResolver(
            installation, environment, isSandboxed: isSandboxed, signals: signals, note: note)
        let catalog = CatalogAnswers(environment)
        let result = try run(arguments, folder, limits, environments, catalog)
        switch result.ending {
        case .exited(0):
            return PlannerOutput(
                bytes: result.output, pin: catalog.pin, remains: result.remains, environments: environments)
        case .exited(1):
            if let problems = PlannerAnswer.problems(result.output) { throw EngineError.project(problems) }
            fallthrough
        default:
            let place = result.place.map { ", at \($0)" } ?? ""
            throw EngineError.planner("\(result.ending)\(place)\n" + String(decoding: result.errors, as: UTF8.self))
        }
    }

    /// A planner's end: of one that is warm, where an engine serves, else of one that is started.
    private func run(
        _ arguments: [String], _ folder: String, _ limits: PlannerLimits, _ environments: EnvironmentResolver,
        _ catalog: CatalogAnswers
    ) throws -> PlannerProcess.Result {
        let ignoreFiles = IgnoreFiles(above: folder, environment)
        let own =
            ["--files", "3", "--output", "\(PlannerLimits.outputBytesMax)"] + ignoreFiles.arguments + arguments
        let process = PlannerProcess(
            spec: try spec(own, folder, ignoreFiles.files, limits), limits: limits,
            environments: environments, signals: signals, catalog: catalog)
        if isSandboxed, let servedAt, let call = PlannerCall(installation, environment),
            let result = try process.run(servedAt: servedAt, call, own)
        {
            return result
        }
        return try process.run()
    }

    /// The program of a planner, without the planner's own arguments: a line of Python that is given the folder of zerrow's package.
    ///
    /// Isolated: neither the current folder nor the caller's variables and packages are searched for modules.
    static func program(_ installation: Installation, _ start: String) -> [String] {
        [installation.python, "-I", "-X", "utf8", "-c", start, installation.pythonFolder]
    }

    /// The variables of a planner, without the project's parameters.
    static func variables(_ environment: [String: String]) -> [String: String] {
        var variables = ["ARROW_DEFAULT_MEMORY_POOL": "system"]
        for name in ["HOME", "XDG_CONFIG_HOME", "TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH"] {
            variables[name] = environment[name]
        }
        return variables
    }

    /// The planner as a process: its program, and the paths that it sees.
    private func spec(
        _ arguments: [String], _ folder: String, _ ignoreFiles: [String], _ limits: PlannerLimits
    ) throws -> ReaderSpec {
        let start =
            "import sys; sys.path.insert(0, sys.argv[1]); from zerrow.plan.__main__ import main, leave; "
            + "leave(main(sys.argv[2:]))"
        // Values of parameters, which may be secret: they are in no list of arguments.
        let values = environment.filter { $0.key.hasPrefix("ZERROW_PARAM_") || $0.key == "ZERROW_PARAMETERS" }
        return ReaderSpec(
            arguments: Self.program(installation, start) + arguments,
            environment: Self.variables(environment).merging(values) { own, _ in own },
            readPaths: try installation.interpreterFolders(installation.python) + [installation.pythonFolder, folder]
                + ignoreFiles,
            isSandboxed: isSandboxed, memoryBytesMax: limits.memoryBytesMax,
            outputBytesMax: UInt64(PlannerLimits.outputBytesMax))
    }

    /// The real path of a project's folder; one that isn't there is reported as the planner would.
    private static func found(_ folder: String) throws -> String {
        if let real = Path.resolved(folder) { return real }
        let whole = folder.hasPrefix("/") ? folder : (Path.resolved(".") ?? ".") + "/" + folder
        throw EngineError.project([
            Plan.Problem(
                code: "no-project", message: "\(whole) is not a folder", model: nil, file: nil, line: nil,
                hint: "name a project's folder with -p")
        ])
    }

    /// Checks the folder and the interpreter that a plan has zygotes show: a planner that a project has taken over could name others.
    private func check(_ plan: Plan, _ folder: String, _ answered: EnvironmentResolver) throws {
        let (place, name) = (Path.parent(installation.python), installation.python.split(separator: "/").last ?? "")
        let python = (Path.resolved(place) ?? place) + "/" + name
        let isOurs = plan.environments.allSatisfy { each in
            each.version == nil ? each.python == python : answered.pythons[each.id] == each.python
        }
        guard plan.project.folder == folder, isOurs else {
            throw EngineError.planner("its plan is for another folder, or another interpreter, than it was asked for")
        }
    }

    /// The error for an answer that is too long to be read.
    static let tooLong = EngineError.project([
        Plan.Problem(
            code: "plan-too-long", message: "the plan has more than \(PlannerLimits.outputBytesMax >> 20) MiB",
            model: nil, file: nil, line: nil, hint: "make several projects of it, or sources of fewer, larger files")
    ])

    /// Runs a project's prepare command, which makes missing sources; its output goes to this process's standard error.
    private func prepare(_ prepare: Plan.Prepare, _ turn: PrepareTurn) throws {
        var arguments = prepare.command
        if arguments.first == "python" { arguments[0] = installation.python }
        let ending = try PrepareCommand(
            executable: installation.executable, arguments: arguments, environment: pythonEnvironment, turn: turn
        ).wait(signals)
        guard ending == .exited(0) else {
            throw EngineError.prepare(
                "the project's prepare command '\(prepare.command.joined(separator: " "))' failed (\(ending)): "
                    + "run it by hand in \(turn.folder.path), or put the files of \(prepare.missing.joined(separator: ", ")) in place"
            )
        }
    }

    /// The environment's programs come first on the PATH, so that a command such as tpchgen-cli is found.
    private var pythonEnvironment: [String: String] {
        var variables = environment
        variables["PYTHONPATH"] = installation.pythonFolder
        variables["PATH"] = Path.parent(installation.python) + ":" + (environment["PATH"] ?? "/usr/bin:/bin")
        return variables
    }
}
