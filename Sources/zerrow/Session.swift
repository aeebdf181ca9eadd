import Engine
import Glibc
import System
import Terminal

/// From parsed arguments to an exit code: makes the engine, runs, prints.
enum Session {
    /// Runs a project, or a query over it, and ends the process with the run's exit code.
    static func run(
        _ project: ProjectOptions, _ group: EngineOptionGroup, _ runGroup: RunOptionGroup, output: OutputFormat,
        rows: Int, query: String?, exportFolder: String? = nil, againOnLine: Bool = false
    ) -> Never {
        var report: RunReport
        let display = RunDisplay(isQuery: query != nil)
        do {
            // First of all: threads that come later inherit the mask, and Ctrl-C is read from a descriptor.
            let signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP])
            var options = RunOptions()
            options.keepsGoing = runGroup.keepGoing
            options.isBatch = runGroup.batch
            options.slots = group.jobs
            options.memoryBytesMax = group.memory?.bytes
            options.usesCache = !runGroup.noCache
            options.usesDeCache = !runGroup.noDeCache
            options.previewRows = rows
            options.previewWidth = Output.columns(1)
            options.exportFolder = try exportFolder.map(existingFolder)
            let environment = Environment.variables
            let plan = try Engine.plan(
                installation: try Installation.find(environment: environment), environment: environment,
                folder: project.project, parameters: project.parameters, query: query,
                writtenFolders: [options.exportFolder, group.cacheFolder, group.spillFolder].compactMap(\.self),
                prepares: true, signals: signals, note: display.note)
            for warning in plan.warnings ?? [] { display.note("warning: " + warning.text) }
            if group.noSandbox { display.note("warning: --no-sandbox: models run without isolation") }
            if againOnLine {
                let isServed = !runGroup.noServe
                try runOnEachLine(plan, options, group, isServed: isServed, display, signals)
            }
            let served =
                runGroup.noServe ? nil : try runRemotely(plan, options, group, display, signals)
            report = try served ?? runHere(plan, options, group.engineOptions, display, signals)
            display.finish()
        } catch {
            display.finish()
            report = RunReport(run: "", failures: failures(of: error))
        }
        if output == .json {
            Output.result(report.json)
            for failure in report.errors { Output.error(failure.text) }
        } else {
            show(report, onlyRows: query != nil)
        }
        Output.leave(report.status == "success" ? 0 : 1)
    }

    /// Has the engine that serves do it; nil when none does, or it won't.
    private static func runRemotely(
        _ plan: Plan, _ options: RunOptions, _ group: EngineOptionGroup, _ display: RunDisplay,
        _ signals: SignalDescriptor
    ) throws -> RunReport? {
        let environment = Environment.variables
        guard let remote = RemoteEngine(at: try ServeAddress(nil, environment: environment)) else {
            return nil
        }
        if let option = group.ownEngineOption {
            display.note("the engine that serves is not used: \(option) is for an engine of one's own")
            return nil
        }
        let answer = try remote.run(
            plan, options, engine: group.engineOptions, installation: try Installation.find(environment: environment),
            observer: display, signals: signals)
        switch answer {
        case .report(let report): return report
        case .refused(let reason):
            display.note("the engine that serves is not used: \(reason)")
            return nil
        }
    }

    /// Does it with an engine of its own.
    private static func runHere(
        _ plan: Plan, _ options: RunOptions, _ engineOptions: EngineOptions, _ display: RunDisplay,
        _ signals: SignalDescriptor
    ) throws -> RunReport {
        let engine = try engine(engineOptions)
        if let problem = engine.kernelZeroProblem { display.note("warning: KernelZero is not used: \(problem)") }
        defer { engine.shutDown() }
        let report = try engine.run(plan, options, observer: display, signals: signals)
        engine.finishSaves(unless: signals, note: display.note)
        return report
    }

    /// Runs the plan once for each line of standard input, in the engine that serves or else in one of its own, and
    /// prints one report each.
    private static func runOnEachLine(
        _ plan: Plan, _ options: RunOptions, _ group: EngineOptionGroup, isServed: Bool, _ display: RunDisplay,
        _ signals: SignalDescriptor
    ) throws -> Never {
        var own: Engine?
        while readLine() != nil {
            let served = isServed && own == nil ? try runRemotely(plan, options, group, display, signals) : nil
            if let served {
                Output.result(served.json)
                continue
            }
            let engine = try own ?? engine(group.engineOptions)
            own = engine
            Output.result(try engine.run(plan, options, signals: signals).json)
        }
        own?.finishSaves(unless: signals, note: Output.note)
        own?.shutDown()
        Output.leave(0)
    }

    /// Serves until a signal comes, and ends the process.
    static func serve(_ options: EngineOptions, socket: String?) -> Never {
        do {
            let signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP, SIGUSR1])
            let engine = try engine(options)
            let address = try ServeAddress(socket, environment: Environment.variables)
            let server = try Server(engine, at: address, note: Output.note)
            if let problem = engine.kernelZeroProblem { Output.note("warning: KernelZero is not used: \(problem)") }
            Output.note("serving at \(address.path) (Ctrl-C ends it)")
            server.serve(until: signals)
            engine.finishSaves(unless: signals, note: Output.note)
            engine.shutDown()
            Output.leave(0)
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }

    /// Makes the folder if it is not there; its absolute path.
    private static func existingFolder(_ path: String) throws -> String {
        if !Files.exists(path) { try Files.makeDirectory(path, mode: 0o755) }
        return Path.resolved(path) ?? path
    }

    /// Reads a project without running or making anything.
    static func plan(_ project: ProjectOptions) throws -> Plan {
        let environment = Environment.variables
        return try Engine.plan(
            installation: try Installation.find(environment: environment), environment: environment,
            folder: project.project, parameters: project.parameters)
    }

    /// An engine of this installation.
    static func engine(_ options: EngineOptions) throws -> Engine {
        let environment = Environment.variables
        return try Engine(
            installation: try Installation.find(environment: environment), options: options, environment: environment)
    }

    /// Why nothing was run.
    static func failures(of error: any Error) -> [RunReport.Failure] {
        if case EngineError.project(let problems)? = error as? EngineError {
            return problems.map { RunReport.Failure(model: $0.model, message: $0.text) }
        }
        return [RunReport.Failure(model: nil, message: "\(error)")]
    }

    private static func show(_ report: RunReport, onlyRows: Bool) {
        for failure in report.errors { Output.error(failure.text) }
        if report.errors.isEmpty, let error = report.error { Output.error(error.message) }
        guard !report.models.isEmpty else { return }
        // A worker wrote them, and it may be anybody's code.
        let previews = report.previews.map { ($0.model, $0.text.linesWithoutControls(keepingColours: false)) }
        if onlyRows {
            for (_, text) in previews { Output.result(text) }
            return
        }
        Output.result(report.summary(columns: Output.columns(1), style: Style(for: 1)))
        for (model, text) in previews { Output.result("\n\(model)\n\(text)") }
    }
}

extension RunReport.Failure {
    /// The failure for a person, with the model's name unless the message has it.
    var text: String {
        guard let model, !message.contains(model) else { return message }
        return "model '\(model)': \(message)"
    }
}

/// This process's environment variables.
enum Environment {
    /// All of them; of two with one name the first holds.
    static var variables: [String: String] {
        var result: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                let name = String(text[..<equals])
                if result[name] == nil { result[name] = String(text[text.index(after: equals)...]) }
            }
            next += 1
        }
        return result
    }
}
