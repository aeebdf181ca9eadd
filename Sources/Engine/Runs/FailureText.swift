import Scheduler

/// The texts of failures for a user.
extension Run {
    /// A failure in words: the model's place, what was wrong, what to do.
    func message(for failure: Scheduler.Failure, of index: Int) -> String {
        let model = plan.models[index]
        var text = ""
        if case .reported(let error) = failure {
            let file = error.file ?? model.file
            let line = error.file == nil ? model.line : error.line
            if let file { text += file + (line.map { ":\($0)" } ?? "") + ": " }
            text += error.message
            if error.kind == "memory" { text += memoryText(of: index) }
            if error.kind == "disk" { text += roomText }
            if error.kind == "user" { text += processesText }
            if let traceback = error.traceback { text += "\n" + traceback }
            return text
        }
        if let file = model.file { text += file + (model.line.map { ":\($0)" } ?? "") + ": " }
        text += "\(failure)"
        if case .timedOut = failure, let timeout = timeout(of: index) { text += ": \(timeout.text)" }
        if case .died(let exit, _) = failure {
            if exit.isOutOfMemory {
                text += memoryText(of: index)
            } else if exit.signal == 11 {
                text += " (a segmentation fault, in a package's native code as a rule)"
            } else if exit.signal == 9 {
                text += " (killed from outside: by the kernel when the machine is out of memory, or by hand)"
            }
            text += processesText
        }
        return text
    }

    /// That the run could not have more processes, if that was so: what fails for it seldom says so.
    private var processesText: String {
        guard let count = cgroup?.refusedProcesses, count > 0 else { return "" }
        return "; \(count) times a process or thread was refused, as the run had as many as it may have"
    }

    /// What a model had that was killed for want of memory, and what to do.
    private func memoryText(of model: Int) -> String {
        let limits: [(UInt64?, String)] = [
            (plan.models[model].memoryBytesMax, "its own limit"), (options.memoryBytesMax, "--memory of the run"),
            (engine.options.memoryBytesMax, "--memory of the engine"),
        ]
        let limit = limits.compactMap { bytes, name in bytes.map { ($0, name) } }.min { $0.0 < $1.0 }
        var text = record.models[model].memoryBytesMax.map { ": it held \($0 >> 20) MiB" } ?? ""
        if let limit { text += ", \(limit.1) is \(limit.0 >> 20) MiB" }
        if record.models[model].executions > 1 { text += ", and it was run again alone" }
        return text + "; give it more with memory= or --memory, or read fewer columns"
    }
}
