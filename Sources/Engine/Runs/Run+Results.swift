import Scheduler
import Store
import System

/// How a result becomes a table, and how the table is released.
extension Run {
    /// Checks, trims and locks the result that a worker published.
    func seal(_ model: Int, _ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id), let published = worker.published else {
            preconditionFailure("\(id) has published nothing")
        }
        do {
            if let cgroup = worker.cgroup { engine.store.attach(cgroup, toOutputOf: worker.storeID) }
            try engine.store.measureOutput(of: worker.storeID)
        } catch {
            return rejected(model, worker, error)
        }
        let files = [published.descriptor] + (worker.scan?.pieces ?? []).map(\.descriptor)
        // It is the run's memory, though it is the engine that holds it for a while.
        let bytes = Int(clamping: worker.outputBytes) + DecodedTable.bytes(toDecode: files)
        engine.tell(.used(number, model: model, bytes: bytes))
        let result = ResultWork(files, engine.store.beginPublish(by: worker.storeID))
        engine.background.begin(.publish, of: number) {
            result.run()
        } then: { [weak self] failure in
            self?.sealed(model, worker, result, failure)
        }
    }

    /// What a worker published was found to be in order, or not.
    private func sealed(_ model: Int, _ worker: WorkerProcess, _ result: ResultWork, _ failure: (any Error)?) {
        do {
            if let failure { throw failure }
            let published = try engine.store.finish(result.publish)
            let pieces = worker.scan?.pieces ?? []
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
            report(rows: result.rows, of: worker)
            isFromCache.remove(model)
            shareScan(model)
            noteKeeping(of: model, unless: reasonNotToKeep(model, worker))
            if reports[model].isKept {
                engine.keep(reports[model].output!, published[0], of: plan.models[model], in: self)
            }
            free(worker)
            feed(.tableReady(model: model))
        } catch {
            rejected(model, worker, error)
        }
    }

    private func rejected(_ model: Int, _ worker: WorkerProcess, _ error: any Error) {
        free(worker)
        feed(.tableRejected(model: model, reason: "\(error)"))
    }

    /// Why a model's result is of this run alone; nil where it may be kept.
    private func reasonNotToKeep(_ model: Int, _ worker: WorkerProcess) -> String? {
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
    private func report(rows: UInt64, of worker: WorkerProcess) {
        guard let published = worker.published else { return }
        let now = elapsed()
        let model = worker.model
        reports[model].wallMilliseconds = now - (reports[model].startMilliseconds ?? now)
        reports[model].timing = timing(of: worker, published.timing)
        reports[model].decache = published.decache
        reports[model].warnings = published.warnings
        reports[model].output = RunReport.Output(
            rows: Int64(clamping: rows), counts: published.counts, moves: published.moves)
    }

    /// Durations as they are, moments as milliseconds since the run began.
    private func timing(of worker: WorkerProcess, _ own: [String: Double]) -> [String: Double] {
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
        guard tables[model] != nil else { preconditionFailure("a table is released twice") }
        if !export(model) { letGo(of: model) }
    }

    /// Gives up the table of a model.
    func letGo(of model: Int) {
        guard let table = tables.removeValue(forKey: model) else { preconditionFailure("a table is let go of twice") }
        do {
            try engine.tables.release(table, by: .run(number, model: model))
        } catch {
            // The table is gone for its readers all the same; its memory goes with the engine at the latest.
            observer?.note("memory of '\(name(of: model))' was not given back: \(error)")
        }
    }
}
