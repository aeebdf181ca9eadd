import Engine
import Glibc
import System
import Terminal

/// From parsed arguments to an exit code: makes the engine, runs, prints.
enum CommandRun {
    /// Runs a project, or a query over it, and ends the process with the run's exit code.
    static func run(
        _ project: ProjectOptions, _ group: EngineOptionGroup, _ runGroup: RunOptionGroup, output: OutputFormat,
        rows: Int, query: String?, exportFolder: String? = nil, againOnLine: Bool = false,
        isDryRun: Bool = false, isTransactional: Bool = true
    ) -> Never {
        var report: RunReport
        let display = RunDisplay(isQuery: query != nil)
        do {
            // First of all: threads that come later inherit the mask, and Ctrl-C is read from a descriptor.
            let signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP])
            Output.stopWaiting(on: signals)
            var options = RunOptions()
            options.keepsGoing = runGroup.keepGoing
            options.timeoutSeconds = runGroup.timeout
            options.isBatch = runGroup.batch
            options.slots = group.jobs
            options.memoryBytesMax = group.memory?.bytes
            options.usesCache = !runGroup.noCache
            options.usesDeCache = !runGroup.noDeCache
            options.isTransactional = isTransactional
            options.previewRows = rows
            options.previewWidth = Output.columns(1)
            options.exportFolder = try exportFolder.map {
                try FolderOption(option: "--export", path: $0, madeWithMode: 0o755).checked()
            }
            var group = group
            try group.checkFolders()
            let environment = Environment.variables
            let installation = try Installation.find(environment: environment)
            let plan = try Engine.plan(
                installation: installation, environment: environment, folder: project.project,
                project.request(query: query, isDryRun: isDryRun),
                writtenFolders: [options.exportFolder, group.cacheFolder, group.spillFolder].compactMap(\.self),
                prepares: true, isSandboxed: !group.noSandbox, signals: signals, note: display.note)
            for warning in plan.warnings ?? [] { display.note("warning: " + warning.text) }
            if group.noSandbox { display.note("warning: --no-sandbox: models run without isolation") }
            let planned = PlannedRun(
                plan: plan, options: options, group: group, installation: installation, environment: environment,
                display: display, signals: signals)
            if againOnLine { try planned.runOnEachLine(isServed: !runGroup.noServe) }
            report = try (runGroup.noServe ? nil : planned.runRemotely()) ?? planned.runHere()
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

    /// Serves until a signal comes, and ends the process.
    static func serve(_ group: EngineOptionGroup, socket: String?) -> Never {
        do {
            var group = group
            try group.checkFolders()
            var options = group.engineOptions
            options.keepsResults = true
            let signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP, SIGUSR1])
            Output.stopWaiting(on: signals)
            let environment = Environment.variables
            let engine = try Engine(
                installation: try Installation.find(environment: environment), options: options,
                environment: environment)
            let address = try ServeAddress(socket, environment: environment)
            let server = try Server(engine, at: address, note: Output.note)
            if let problem = engine.kernelZeroProblem { Output.note("warning: KernelZero is not used: \(problem)") }
            Output.note("serving at \(address.path) (Ctrl-C ends it)")
            server.serve(until: signals)
            engine.finishBackgroundWrites(unless: signals, note: Output.note)
            engine.shutDown()
            Output.leave(0)
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }

    /// Reads a project without running or making anything.
    static func plan(_ project: ProjectOptions, noSandbox: Bool) throws -> Plan {
        let environment = Environment.variables
        return try Engine.plan(
            installation: try Installation.find(environment: environment), environment: environment,
            folder: project.project, project.request(), isSandboxed: !noSandbox)
    }

    /// The reasons why nothing was run.
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
        // The previews come from workers, which may run anybody's code.
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
    /// The failure for a person, with the model's name unless the message says it, in quotes: a path may have it too.
    var text: String {
        guard let model, !message.contains("'\(model)'") else { return message }
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
