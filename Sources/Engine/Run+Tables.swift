import SIPC
import Scheduler
import Store
import System

/// A table that its readers can be given.
struct PublishedTable {
    /// What the store holds for it.
    var table: Table
    /// The SIPC descriptor, sealed, with the store's segment ids.
    var descriptor: DescriptorBox
}

/// From a result to a table, and to its end.
extension Run {
    /// Checks, trims and locks what a worker published.
    func seal(_ model: Int, _ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id), let segment = worker.segment else {
            preconditionFailure("\(id) has no segment to seal")
        }
        defer { free(worker) }
        guard let published = worker.published else {
            // A preview hands over text: its segment holds nothing anybody reads.
            preconditionFailure("\(id) published nothing")
        }
        do {
            var descriptor = try Descriptor(decoding: published.descriptor)
            try descriptor.renumber { id in
                if id == 0 { return segment }
                guard worker.inputSegments.contains(id) else {
                    throw EngineError.protocolBroken("its result refers to a segment that it was not given")
                }
                return id
            }
            let table = try engine.store.publish(
                segment, references: descriptor.references)
            tables[model] = PublishedTable(
                table: table,
                descriptor: DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", descriptor.bytes)))
            let now = elapsed()
            reports[model].wallMilliseconds = now - (reports[model].startMilliseconds ?? now)
            worker.mark("ready")
            reports[model].timing = timing(of: worker, published.timing)
            reports[model].output = RunReport.Output(rows: Int64(clamping: descriptor.rows), counts: published.counts)
            feed(.tableReady(model: model))
        } catch {
            engine.store.discard(segment)
            feed(.tableRejected(model: model, reason: "\(error)"))
        }
    }

    /// Durations as they are, moments as milliseconds since the run began.
    private func timing(of worker: Worker, _ own: [String: Double]) -> [String: Double] {
        var timing = own.merging(worker.marks) { _, ours in ours }
        for (key, value) in timing where key.hasSuffix("_at_ms") { timing[key] = value - Double(beganAt) / 1e6 }
        return timing
    }

    /// The worker is over and there is no table of it.
    func discard(_ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id) else { return }
        if let text = worker.text, isPreview(worker.model) { previews[previewOf[worker.model - plan.models.count]] = text }
        free(worker)
        if let segment = worker.segment { engine.store.discard(segment) }
    }

    /// Nobody will read the table any more.
    func release(_ model: Int) {
        guard let table = tables.removeValue(forKey: model) else { preconditionFailure("a table is released twice") }
        engine.store.release(table.table)
    }

    /// A model has its final status.
    func settle(_ model: Int, _ status: Scheduler.ModelStatus) {
        guard !isPreview(model) else {
            if case .failed(let failure) = status { observer?.note("\(name(of: model)) failed: \(failure)") }
            return
        }
        var failureText: String?
        switch status {
        case .success: reports[model].status = "success"
        case .cancelled: reports[model].status = "cancelled"
        case .skipped(let cause):
            reports[model].status = "skipped"
            failureText = "not run, because '\(name(of: cause))' failed"
        case .failed(let failure):
            reports[model].status = "failed"
            let text = message(for: failure, of: plan.models[model])
            failureText = text
            failures.append(RunReport.Failure(model: plan.models[model].name, message: text))
        }
        if reports[model].wallMilliseconds == nil, let start = reports[model].startMilliseconds {
            reports[model].wallMilliseconds = elapsed() - start
        }
        observer?.modelEnded(reports[model], failure: failureText)
        endedAt = MonotonicClock.nanoseconds()
    }

    /// A failure in words: the model's place, what was wrong, what to do.
    private func message(for failure: Scheduler.Failure, of model: Plan.Model) -> String {
        var text = ""
        if case .reported(let error) = failure {
            let file = error.file ?? model.file
            let line = error.file == nil ? model.line : error.line
            if let file { text += file + (line.map { ":\($0)" } ?? "") + ": " }
            text += error.message
            if let traceback = error.traceback { text += "\n" + traceback }
            return text
        }
        if let file = model.file { text += file + (model.line.map { ":\($0)" } ?? "") + ": " }
        text += "\(failure)"
        if case .died(let exit, _) = failure {
            if exit.isOutOfMemory {
                text += "; give it more with memory= or --memory, or read fewer columns"
            } else if exit.signal == 11 {
                text += " (a segmentation fault, in a package's native code as a rule)"
            } else if exit.signal == 9 {
                text += " (killed from outside: by the kernel when the machine is out of memory, or by hand)"
            }
        }
        return text
    }

    /// What happened, when it is over.
    func report() -> RunReport {
        guard let outcome else { preconditionFailure("the run is not over") }
        var report = RunReport(run: id, failures: failures)
        switch outcome.status {
        case .success: report.status = "success"
        case .failed: report.status = "failed"
        case .cancelled:
            report.status = "failed"
            if failures.isEmpty { report.error = RunReport.Failure(model: nil, message: "the run was cancelled") }
        }
        report.errors = failures
        report.models = reports
        report.wallMilliseconds = elapsed(endedAt ?? MonotonicClock.nanoseconds())
        report.previews = previewOf.compactMap { model in
            previews[model].map { RunReport.Preview(model: plan.models[model].name, text: $0) }
        }
        return report
    }
}
