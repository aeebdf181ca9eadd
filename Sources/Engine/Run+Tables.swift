import SIPC
import Scheduler
import Store
import System

/// From a result to a table, and to its end.
extension Run {
    /// Checks, trims and locks what a worker published.
    func seal(_ model: Int, _ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id), let published = worker.published else {
            preconditionFailure("\(id) has published nothing")
        }
        defer { free(worker) }
        do {
            let descriptor = try Descriptor(published.descriptor)
            tables[model] = try publish(descriptor, by: worker)
            worker.mark("ready")
            let now = elapsed()
            reports[model].wallMilliseconds = now - (reports[model].startMilliseconds ?? now)
            reports[model].timing = timing(of: worker, published.timing)
            reports[model].output = RunReport.Output(
                rows: Int64(clamping: descriptor.rows), counts: published.counts, moves: published.moves)
            feed(.tableReady(model: model))
        } catch {
            feed(.tableRejected(model: model, reason: "\(error)"))
        }
    }

    /// Gives the worker's own segment its real id, and the table to the store, which checks that the worker names nothing but
    /// what it was lent.
    private func publish(_ descriptor: Descriptor, by worker: Worker) throws -> TableID {
        guard let output = worker.segment else { preconditionFailure("a worker that published had an output") }
        try engine.store.measureOutput(of: worker.storeID)
        let ids = descriptor.segments.map { $0.id == 0 ? output : SegmentID(rawValue: $0.id) }
        try check(descriptor.segments, ids, of: worker)
        var references = References()
        var failure: StoreError?
        descriptor.forEachReference { reference in
            do throws(StoreError) {
                try references.add(ids[Int(reference.segment)], offset: reference.offset, length: reference.length)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        guard references.segmentCount == ids.count else {
            throw EngineError.protocolBroken("it lists a segment that it does not name anything of")
        }
        let bytes = descriptor.renumbered(ids.map(\.rawValue))
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", bytes))
        return try engine.store.publish(by: worker.storeID, descriptor: file, references: references)
    }

    /// Checks what readers rely on: each segment once, under the size that its file has.
    private func check(_ segments: [SIPC.Segment], _ ids: [SegmentID], of worker: Worker) throws {
        guard Set(ids).count == ids.count else { throw EngineError.protocolBroken("it lists a segment twice") }
        for (segment, id) in zip(segments, ids) {
            guard let bytes = engine.store.fileBytes(of: id, namedBy: worker.storeID) else {
                throw EngineError.protocolBroken("it lists segment \(segment.id), which its worker was never given")
            }
            guard segment.bytes == UInt64(bytes) else {
                throw EngineError.protocolBroken(
                    "it lists segment \(segment.id) with a size of \(segment.bytes), not \(bytes)")
            }
        }
    }

    /// Durations as they are, moments as milliseconds since the run began.
    private func timing(of worker: Worker, _ own: [String: Double]) -> [String: Double] {
        var timing = own.merging(worker.marks) { _, ours in ours }
        timing["cpu_ms"] = worker.exit?.cpuMilliseconds
        for (key, value) in timing where key.hasSuffix("_at_ms") { timing[key] = value - Double(beganAt) / 1e6 }
        return timing
    }

    /// The worker is over and there is no table of it.
    func discard(_ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id) else { return }
        if let text = worker.text, isPreview(worker.model) {
            previews[previewOf[worker.model - plan.models.count]] = text
        }
        free(worker)
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
        case .success: report.status = failures.isEmpty ? "success" : "failed"
        case .failed: report.status = "failed"
        case .cancelled:
            report.status = "failed"
            if failures.isEmpty { report.error = RunReport.Failure(model: nil, message: "the run was cancelled") }
        }
        report.errors = failures
        report.models = reports
        report.memory = memory
        report.wallMilliseconds = elapsed(endedAt ?? MonotonicClock.nanoseconds())
        report.previews = previewOf.compactMap { model in
            previews[model].map { RunReport.Preview(model: plan.models[model].name, text: $0) }
        }
        return report
    }
}
