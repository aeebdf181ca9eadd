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
            let pieces = worker.scan?.pieces ?? []
            let descriptors = try [Descriptor(published.descriptor)] + pieces.map { try Descriptor($0.descriptor) }
            if let cgroup = worker.cgroup { engine.store.attach(cgroup, toOutputOf: worker.storeID) }
            let published = try publish(descriptors, by: worker)
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
            report(descriptors[0], of: worker)
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

    /// Why a model's result is of this run alone; nil where it may be kept.
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

    /// Reports whether a model's result may be kept.
    func noteKeeping(of model: Int, unless reason: String?) {
        reports[model].isKept = reason == nil
        reports[model].because = reason
    }

    /// Notes what a worker published, once its table is there.
    private func report(_ descriptor: Descriptor, of worker: Worker) {
        guard let published = worker.published else { return }
        let now = elapsed()
        let model = worker.model
        reports[model].wallMilliseconds = now - (reports[model].startMilliseconds ?? now)
        reports[model].timing = timing(of: worker, published.timing)
        reports[model].decache = published.decache
        reports[model].output = RunReport.Output(
            rows: Int64(clamping: descriptor.rows), counts: published.counts, moves: published.moves)
    }

    /// Gives the worker's own segment its real id, and its tables to the store, which checks that the worker names nothing but
    /// what it was lent.
    private func publish(_ descriptors: [Descriptor], by worker: Worker) throws -> [TableID] {
        guard let output = worker.segment else { preconditionFailure("a worker that published had an output") }
        try engine.store.measureOutput(of: worker.storeID)
        let tables = try descriptors.map { descriptor in
            let ids = descriptor.segments.map { $0.id == 0 ? output : SegmentID(rawValue: $0.id) }
            try check(descriptor.segments, ids, of: worker)
            let bytes = descriptor.renumbered(ids.map(\.rawValue))
            return SegmentStore.Publication(
                descriptor: DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", bytes)),
                references: try references(of: descriptor, ids))
        }
        return try engine.store.publish(by: worker.storeID, tables: tables)
    }

    private func references(of descriptor: Descriptor, _ ids: [SegmentID]) throws -> References {
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
        return references
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

    /// Nobody will read the table any more.
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
