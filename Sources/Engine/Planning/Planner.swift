import FoundationEssentials
import Glibc
import System

/// Runs the Python front end, which reads a project without importing its code (`docs/plan.md`).
struct Planner {
    let installation: Installation
    let environment: [String: String]
    /// Folders that runs write to: what is there is no part of the project.
    let writtenFolders: [String]
    /// Where signals arrive that end it early, as `EngineError.interrupted`.
    var signals: SignalDescriptor?

    /// Reads the project in `folder`; with `prepares`, makes sources that are missing by the project's own command.
    ///
    /// Throws `EngineError.project` with all that is wrong with it, or `EngineError.planner` when the planner itself failed.
    func plan(
        folder: String, parameters: [String], query: String?, prepares: Bool, note: (String) -> Void
    ) throws -> Plan {
        // A plan that is only looked at needs no code; a run finds a wrong filter in its first scan.
        let plan = try read(folder, parameters, query, isToRun: prepares)
        guard prepares, let prepare = plan.prepare else { return plan }
        note(
            "making \(prepare.missing.joined(separator: ", ")) with the project's prepare command: "
                + prepare.command.joined(separator: " "))
        try self.prepare(prepare, folder: plan.project.folder)
        let again = try read(folder, parameters, query, isToRun: true)
        if let left = again.prepare?.missing {
            throw EngineError.prepare(
                "the project's prepare command succeeded but made no \(left.joined(separator: ", ")): "
                    + "compare its output folder with the sources in the project file")
        }
        return again
    }

    private func read(
        _ folder: String, _ parameters: [String], _ query: String?, isToRun: Bool
    ) throws -> Plan {
        var arguments = [
            installation.python, "-m", "zerrow.plan", "--project", folder, "--engine", try installation.build(),
        ]
        arguments.append(isToRun ? "--hand-over" : "--check-filters")
        for parameter in parameters { arguments += ["--param", parameter] }
        if let query { arguments += ["--query", query] }
        for folder in writtenFolders { arguments += ["--writes", folder] }
        let (ending, output, errors) = try captured(arguments)
        switch ending {
        case .exited(0):
            return try PlannerAnswer.plan(output)
        case .exited(1):
            if let problems = PlannerAnswer.problems(output) { throw EngineError.project(problems) }
            fallthrough
        default:
            throw EngineError.planner("\(ending)\n" + String(decoding: errors.suffix(4000), as: UTF8.self))
        }
    }

    /// Runs a project's prepare command, which makes missing sources; its output goes to this process's standard error.
    private func prepare(_ prepare: Plan.Prepare, folder: String) throws {
        var arguments = prepare.command
        if arguments.first == "python" { arguments[0] = installation.python }
        let ending = try PrepareCommand(
            executable: installation.executable, arguments: arguments, environment: pythonEnvironment, folder: folder
        ).wait(signals)
        guard ending == .exited(0) else {
            throw EngineError.prepare(
                "the project's prepare command '\(prepare.command.joined(separator: " "))' failed (\(ending)): "
                    + "run it by hand in \(folder), or put the files of \(prepare.missing.joined(separator: ", ")) in place"
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

    private func captured(_ arguments: [String]) throws -> (ChildProcess.Ending, [UInt8], [UInt8]) {
        // Files, not pipes: neither stream can fill up and stop the program.
        let output = try FileDescriptor.memory(named: "plan-output", bytes: 0, sealable: false)
        let errors = try FileDescriptor.memory(named: "plan-errors", bytes: 0, sealable: false)
        let child = try ChildProcess(
            arguments, environment: pythonEnvironment, folder: ".", output: .descriptor(output.raw),
            errors: .descriptor(errors.raw))
        let signal = try child.waitForEnd(or: signals)
        if signal != nil { child.signal(SIGKILL) }
        let ending = try child.wait()
        if signal != nil { throw EngineError.interrupted }
        let bytes = try output.status().bytes
        guard bytes <= Limit.planBytesMax else {
            throw EngineError.planner("its answer has \(bytes) bytes, \(Limit.planBytesMax) are allowed")
        }
        // Only the end of what it complains of is shown.
        let end = try errors.status().bytes
        return (ending, try output.bytes(0..<bytes), try errors.bytes(max(0, end - 4000)..<end))
    }
}
