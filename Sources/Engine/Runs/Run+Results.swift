import SIPC
import Scheduler
import Store
import System

/// How a result becomes a table, and how the table is released.
extension Run {
    /// Checks, trims and locks the result that a worker published.
    func seal(_ model: Int, _ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id), let published = worker.published,
            let output = worker.segment
        else { preconditionFailure("\(id) has published nothing") }
        let files = [published.descriptor] + (worker.scan?.pieces ?? []).map(\.descriptor)
        let bytes = DecodedTable.bytes(toDecode: files)
        guard bytes > DecodedTable.quickBytesMax else {
            return seal(model, worker, DecodedTable.decode(files, output: output))
        }
        // The memory is the run's, though it is the engine that holds it for a while.
        engine.tell(.used(number, model: model, bytes: Int(clamping: worker.outputBytes) + bytes))
        engine.background.begin {
            DecodedTable.decode(files, output: output)
        } then: { [weak self] tables in
            self?.seal(model, worker, tables)
        }
    }

    /// Checks, trims and locks the result that a worker published.
    private func seal(_ model: Int, _ worker: Worker, _ decoded: Result<[DecodedTable], any Error>) {
        defer { free(worker) }
        do {
            let pieces = worker.scan?.pieces ?? []
            let decoded = try decoded.get()
            if let cgroup = worker.cgroup { engine.store.attach(cgroup, toOutputOf: worker.storeID) }
            let published = try publish(decoded, by: worker)
            let seconds = Double(MonotonicClock.nanoseconds() - worker.sentAt) / 1e9
            tables[model] = published[0]
            worker.cgroup?.allowSwap()
            let maker = ResourceManager.ModelKey(number, model)
            engine.tables.add(
                published[0], by: .run(number, model: model), seconds: seconds, maker: maker, cgroup: worker.cgroup)
            for table in published.dropFirst() {
                engine.tables.add(table, by: .piece, seconds: seconds / Double(pieces.count), maker: maker)
            }
            if worker.scan != nil {
                engine.decache.add(
                    zip(published.dropFirst(), pieces).map { DeCache.Piece(table: $0, block: $1.block) },
                    by: worker.storeID)
            }
            worker.mark("ready")
            report(rows: decoded[0].rows, of: worker)
            isFromCache.remove(model)
            shareScan(model)
            noteKeeping(of: model, unless: reasonNotToKeep(model, worker))
            if reports[model].isKept {
                engine.keep(reports[model].output!, published[0], of: plan.models[model], in: self)
            }
            feed(.tableReady(model: model))
        } catch {
            feed(.tableRejected(model: model, reason: "\(error)"))
        }
    }

    /// The reason why a model's result must not be used by other runs; nil if it may be kept for them.
    private func reasonNotToKeep(_ model: Int, _ worker: Worker) -> String? {
        guard options.usesCache else { return Self.saysNoCache }
        if let file = worker.published?.changedFile, changedFile == nil {
            changedFile = file
            observer?.note("\(file) was changed while the run went on: results that come now are not kept")
        }
        if let because = plan.models[model].because { return because }
        if let asked = worker.published?.asked { return asked }
        if let changedFile { return "\(changedFile) was changed while the run went on" }
        guard let input = inputs(of: model).first(where: { !reports[$0].isKept }) else { return nil }
        return "its input \(name(of: input)) isn't kept"
    }

    /// Records whether a model's result may be kept, and if not, why.
    func noteKeeping(of model: Int, unless reason: String?) {
        reports[model].isKept = reason == nil
        reports[model].because = reason
    }

    /// Reports a worker's result, once its table is there.
    private func report(rows: UInt64, of worker: Worker) {
        guard let published = worker.published else { return }
        let now = elapsed()
        let model = worker.model
        reports[model].wallMilliseconds = now - (reports[model].startMilliseconds ?? now)
        reports[model].timing = timing(of: worker, published.timing)
        reports[model].decache = published.decache
        reports[model].output = RunReport.Output(
            rows: Int64(clamping: rows), counts: published.counts, moves: published.moves)
    }

    /// Publishes a worker's tables in the store, which checks that they name nothing but its output and what it was lent.
    private func publish(_ decoded: [DecodedTable], by worker: Worker) throws -> [TableID] {
        try engine.store.measureOutput(of: worker.storeID)
        for table in decoded { try check(table.segments, of: worker) }
        let tables = decoded.map { SegmentStore.Publication(descriptor: $0.descriptor, references: $0.references) }
        return try engine.store.publish(by: worker.storeID, tables: tables)
    }

    /// Checks the fact that readers rely on: each segment is listed with the size that its file has.
    private func check(_ segments: [SIPC.Segment], of worker: Worker) throws {
        for segment in segments {
            guard let bytes = engine.store.fileBytes(of: SegmentID(rawValue: segment.id), namedBy: worker.storeID)
            else {
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

    /// Ends a worker that is over and left no table.
    func discard(_ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id) else { return }
        if let text = worker.text, isPreview(worker.model) {
            previews[previewOf[worker.model - plan.models.count]] = text
        }
        free(worker)
    }

    /// Reports a model's final status.
    func settle(_ model: Int, _ status: Scheduler.ModelStatus) {
        guard !isPreview(model) else {
            if case .failed(let failure) = status { observer?.note("\(name(of: model)) failed: \(failure)") }
            return
        }
        var failureText: String?
        engine.tables.noteReaders()
        switch status {
        case .success: reports[model].status = isFromCache.contains(model) ? "cached" : "success"
        case .unneeded: reports[model].status = "unneeded"
        case .cancelled: reports[model].status = "cancelled"
        case .skipped(let cause):
            reports[model].status = "skipped"
            failureText = "not run, because '\(name(of: cause))' failed"
        case .failed(let failure):
            reports[model].status = "failed"
            let text = message(for: failure, of: model)
            failureText = text
            failures.append(RunReport.Failure(model: plan.models[model].name, message: text))
        }
        if failureText != nil || status == .cancelled {
            reports[model].isKept = false
            reports[model].because = nil
        }
        if reports[model].wallMilliseconds == nil, let start = reports[model].startMilliseconds {
            reports[model].wallMilliseconds = elapsed() - start
        }
        observer?.modelEnded(reports[model], failure: failureText)
        endedAt = MonotonicClock.nanoseconds()
        if plan.models[model].kind == "scan" { endDeCache() }
    }

    /// Releases a model's table, which nobody will read any more.
    func release(_ model: Int) {
        export(model)
        guard let table = tables.removeValue(forKey: model) else { preconditionFailure("a table is released twice") }
        do {
            try engine.tables.release(table, by: .run(number, model: model))
        } catch {
            // The table is gone for its readers all the same; its memory goes with the engine at the latest.
            observer?.note("memory of '\(name(of: model))' was not given back: \(error)")
        }
    }
}
