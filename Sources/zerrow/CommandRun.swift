import Engine
import Glibc
import System
import Terminal

/// From parsed arguments to an exit code: makes the engine, runs, prints.
enum CommandRun {
    /// Runs a project, or a query over it, and ends the process with the run's exit code.
    static func run(_ call: RunCall) -> Never {
        var call = call
        let environment = Environment.variables
        let display = RunDisplay(
            isQuery: call.query != nil, isSilent: call.run.handTables != nil && isatty(2) == 0)
        let events = call.showsEvents ? EventLines(forwarding: display) : nil
        let shown: any RunObserver = events ?? display
        let script = scriptClient(call, forwarding: shown)
        let job = JobRecorder(
            call.job(Job.newID()), in: call.againOnLine ? nil : JobFolder.path(environment),
            forwarding: script ?? shown)
        var wanted: SignalDescriptor?
        var report: RunReport
        var wasInterrupted = false
        // Prints a report with the rows in it.
        var showWithRows: ((String) throws -> Void)?
        var stream: RowStream?
        // Its end is waited for when the plan can't be made.
        var early: Engine?
        do {
            // First of all: threads that come later inherit the mask, and Ctrl-C is read from a descriptor.
            let signals = try arrivingSignals()
            wanted = signals
            try call.engine.checkFolders()
            let installation = try Installation.find(environment: environment)
            script?.greet(job: job.job.id, installation)
            stream = try RowStream(call, installation, environment)
            var options = try call.runOptions(job.job.id)
            if let stream, options.exportFolder == nil {
                options.exportFolder = stream.folder
                options.notesExports = false
            }
            // A job that is to be detached begins in the process that goes on: this one has to have no other thread.
            if !call.isDetached { job.begin() }
            early = PlannedRun.earlyEngine(call, installation, environment)
            var plan = try plan(call, options, installation, environment, signals, note: job.note)
            job.planned(plan)
            for warning in plan.warnings ?? [] { job.note("warning: " + warning.text) }
            for argument in call.run.arguments {
                job.note("note: the argument '\(argument.prefix { $0 != "=" })' says nothing here")
            }
            if call.engine.noSandbox { job.note("warning: --no-sandbox: models run without isolation") }
            if call.isDetached {
                // The process that goes on is not its parent.
                plan.planner = nil
                try Detaching.goOn(job, call.output)
            }
            let planned = PlannedRun(
                plan: plan, options: options, group: call.engine, installation: installation, environment: environment,
                observer: job, signals: signals, early: early)
            if call.againOnLine { try planned.runOnEachLine(isServed: !call.run.noServe) }
            report = try (call.run.noServe ? nil : planned.runRemotely()) ?? planned.runHere()
            display.finish()
            if let stream, report.status == "success", call.output == .tty {
                try stream.show(plan, isOnly: call.query != nil, columns: Output.columns(1), signals: signals)
            }
            if let stream, report.status == "success", call.output == .json {
                showWithRows = { try stream.show(plan, in: $0, signals: signals) }
            }
        } catch {
            display.finish()
            if case EngineError.interrupted? = error as? EngineError { wasInterrupted = true }
            report = RunReport(run: job.job.id, failures: failures(of: error))
        }
        script?.finish(unless: wanted)
        early?.shutDown()
        // One that should have gone on without its terminal and could not.
        job.begin()
        if let problem = job.end(report, wasInterrupted: wasInterrupted) {
            Output.note("this job is not remembered: \(problem)")
        }
        var code: Int32 = report.status == "success" ? 0 : 1
        do {
            try tell(report, call, events, showWithRows: showWithRows)
        } catch {
            Output.error("\(error)")
            code = 1
        }
        stream?.remove()
        Output.leave(code)
    }

    /// Prints what came of a run in the form that was asked for.
    private static func tell(
        _ report: RunReport, _ call: RunCall, _ events: EventLines?, showWithRows: ((String) throws -> Void)?
    ) throws {
        if let events {
            events.ended(report)
        } else if let showWithRows {
            try showWithRows(report.json)
        } else if call.output == .json {
            Output.result(report.json)
        } else {
            return show(report, onlyRows: call.query != nil)
        }
        for failure in report.errors { Output.error(failure.text) }
    }

    /// The signals that stop a run, read from a descriptor from now on.
    private static func arrivingSignals() throws -> SignalDescriptor {
        let signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP])
        Output.stopWaiting(on: signals)
        return signals
    }

    /// The script that called, if one did; ends the process where it can't be reached.
    private static func scriptClient(_ call: RunCall, forwarding display: any RunObserver) -> ScriptClient? {
        guard let number = call.run.handTables else { return nil }
        do {
            return try ScriptClient(number, forwarding: display)
        } catch {
            Output.error("\(error)")
            Output.leave(2)
        }
    }

    private static func plan(
        _ call: RunCall, _ options: RunOptions, _ installation: Installation, _ environment: [String: String],
        _ signals: SignalDescriptor, note: @escaping (String) -> Void
    ) throws -> Plan {
        var request = call.project.request(query: call.query, isDryRun: call.isDryRun)
        call.selection?.narrow(&request)
        request.memoryBytesMax = options.memoryBytesMax
        request.exportFormat = call.export.plannedFormat
        // What opens the files for an engine of SQL comes with the arena's library.
        request.mayStream = request.mayStream && (!call.engine.noArena || call.engine.noSandbox)
        return try Engine.plan(
            installation: installation, environment: environment, folder: call.project.project, request,
            writtenFolders: [
                options.exportFolder, options.sinkFolder, call.engine.cacheFolder, call.engine.spillFolder,
            ].compactMap(\.self),
            prepares: true, isSandboxed: !call.engine.noSandbox,
            servedAt: call.run.noServe || call.engine.ownEngineOption != nil
                ? nil : try? ServeAddress(nil, environment: environment),
            signals: signals, note: note)
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
    static func plan(
        _ project: ProjectOptions, _ selection: SelectionOptions?, noSandbox: Bool,
        note: @escaping (String) -> Void = Output.note
    ) throws -> Plan {
        var request = project.request()
        selection?.narrow(&request)
        let environment = Environment.variables
        return try Engine.plan(
            installation: try Installation.find(environment: environment), environment: environment,
            folder: project.project, request, isSandboxed: !noSandbox,
            servedAt: try? ServeAddress(nil, environment: environment), note: note)
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
