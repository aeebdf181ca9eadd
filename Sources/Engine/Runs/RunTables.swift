import Sandbox
import Scheduler
import Store
import System

/// The tables of one run, by model: the run holds each from its making, or finding, to its release or its drop.
///
/// Used on the engine's thread.
final class RunTables {
    private let registry: TableRegistry
    private let run: Int
    private var tables: [Int: TableID] = [:]
    /// A file of the project that was changed after the plan was made: later results are not kept under the plan's keys.
    private(set) var changedFile: String?

    /// - Parameter run: its number, as a holder of tables.
    init(_ registry: TableRegistry, run: Int) {
        self.registry = registry
        self.run = run
    }

    /// The model's table; nil where it isn't there.
    subscript(model: Int) -> TableID? { tables[model] }

    /// Takes in a table that a worker made.
    ///
    /// - Parameter cgroup: the control group that its memory is charged to, if it is a worker's.
    func add(_ table: TableID, of model: Int, seconds: Double, cgroup: WorkerCgroup?) {
        tables[model] = table
        registry.add(table, by: .run(run, model: model), seconds: seconds, maker: .init(run, model), cgroup: cgroup)
    }

    /// Holds an existing table as a model's.
    func retain(_ table: TableID, of model: Int) {
        tables[model] = table
        registry.retain(table, by: .run(run, model: model))
    }

    /// Gives up the table of a model.
    func release(of model: Int) throws {
        guard let table = tables.removeValue(forKey: model) else { preconditionFailure("a table is released twice") }
        try registry.release(table, by: .run(run, model: model))
    }

    /// The model's table was dropped, and released for the run.
    func forget(_ model: Int) { tables[model] = nil }

    /// Notes that a file of the project was changed.
    ///
    /// - Returns: whether it is the first.
    func noteChange(of file: String) -> Bool {
        guard changedFile == nil else { return false }
        changedFile = file
        return true
    }
}

/// How a result becomes a table, and how the table leaves the run.
extension Run {
    /// Checks, trims and locks the result that a worker published.
    func seal(_ model: Int, of worker: WorkerProcess) {
        guard let published = worker.published else { preconditionFailure("\(worker.name) has published nothing") }
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
            self?.sealed(model, worker, published, result, failure)
        }
    }

    /// What a worker published was found to be in order, or not.
    private func sealed(
        _ model: Int, _ worker: WorkerProcess, _ published: WorkerMessage.Publication, _ result: ResultWork,
        _ failure: (any Error)?
    ) {
        do {
            if let failure { throw failure }
            let written = try writtenTable(of: model, worker)
            let sunk = try sinkFile(of: model, worker)
            let made = try engine.store.finish(result.publish)
            if let written { materializations.add(written, of: model) }
            if let sunk { name(sunk, of: model) }
            worker.cgroup?.allowSwap()
            take(made[0], of: model, by: worker, published, rows: result.rows, cgroup: worker.cgroup)
            addPieces(Array(made.dropFirst()), by: worker, seconds: worker.secondsSinceSend)
            end(worker)
            feed(.tableReady(model: model))
        } catch {
            rejected(model, worker, error)
        }
    }

    /// Takes in the table that a worker made of a model.
    ///
    /// - Parameter cgroup: the control group that its memory is charged to, if it is the worker's.
    func take(
        _ table: TableID, of model: Int, by worker: WorkerProcess, _ published: WorkerMessage.Publication,
        rows: UInt64, cgroup: WorkerCgroup?
    ) {
        tables.add(table, of: model, seconds: worker.secondsSinceSend, cgroup: cgroup)
        record.made(model, rows: rows, by: worker, published, keptUnless: reasonNotToKeep(model, published))
        shareScan(model)
        if record.models[model].isKept {
            engine.keep(record.models[model].output!, table, of: plan.models[model], in: self)
        }
    }

    private func rejected(_ model: Int, _ worker: WorkerProcess, _ error: any Error) {
        end(worker)
        feed(.tableRejected(model: model, reason: "\(error)"))
    }

    /// Why a model's result is of this run alone; nil where it may be kept.
    private func reasonNotToKeep(_ model: Int, _ published: WorkerMessage.Publication) -> String? {
        guard options.usesCache else { return RunRecord.saysNoCache }
        if let file = published.changedFile, tables.noteChange(of: file) {
            observer?.note("\(file) was changed while the run went on: results that come now are not kept")
        }
        if let because = plan.models[model].because { return because }
        if let asked = published.asked { return asked }
        if let file = tables.changedFile { return "\(file) was changed while the run went on" }
        guard let input = inputs(of: model).first(where: { !record.models[$0].isKept }) else { return nil }
        return "its input \(name(of: input)) isn't kept"
    }

    // MARK: Tables that are there already

    /// Uses an existing table as a model's.
    func use(_ entry: ResultsCache.Entry, for model: Int) {
        tables.retain(entry.table, of: model)
        record.found(model, entry.output)
    }

    /// Uses another run's result for a model that asks.
    func find(_ model: Int, _ result: SharedScans.Result) {
        tables.retain(result.table, of: model)
        record.found(model, result.output, units: result.units)
        feed(.tableFound(model: model))
    }

    /// Lets other runs share a scan's result from now on.
    private func shareScan(_ model: Int) {
        let report = record.models[model]
        guard let key = sharedKey(of: model), let table = tables[model], let output = report.output else { return }
        engine.scans.add(.init(table: table, output: output, units: report.decache?.wantedUnits ?? 0), key: key)
    }

    // MARK: What is told of them

    /// Notes that the facts of a model's table may have changed, if it is there.
    func noteChange(of model: Int) {
        if let table = tables[model] { engine.tables.noteChange(of: table) }
    }

    /// Notes that a model's state has changed, or its table has come or gone: so may have the next reader of what it reads, and what it takes to
    /// make again what was made of its table.
    func noteChange(around model: Int) {
        noteChange(of: model)
        for input in scheduler.graph.inputs[model] { noteChange(of: input) }
        var passed: Set = [model]
        var next = scheduler.graph.readers[model]
        while let reader = next.popLast() {
            guard !isPreview(reader), succeeded.contains(reader), passed.insert(reader).inserted else { continue }
            // A table that is there is what its readers would be made of; of one that isn't, they would need this model as well.
            if tables[reader] != nil { noteChange(of: reader) } else { next += scheduler.graph.readers[reader] }
        }
    }

    // MARK: Their end

    /// Notes that the model's table was dropped to free memory, and released.
    func drop(_ model: Int) {
        tables.forget(model)
        feed(.dropped(model: model))
        noteChange(around: model)
    }

    /// Releases a model's table, which nobody will read any more; a final one is written to `<export folder>/<model>.arrows` before, and
    /// the run is not over until that is done.
    func release(_ model: Int) {
        guard let table = tables[model] else { preconditionFailure("a table is released twice") }
        guard options.handsTables, !isCancelled, plan.models[model].final else { return export(model) }
        handing.insert(model)
        // A table on a disk may have to be read back first.
        engine.mover.restore([table]) { failure in
            self.handing.remove(model)
            do {
                if let failure { throw failure }
                let name = self.name(of: model)
                let handed = try self.engine.leases.lend(
                    table, as: name, rows: self.record.models[model].output?.rows ?? 0)
                self.observer?.handedOver(handed)
            } catch {
                self.record.fail(self.name(of: model), "its table could not be handed over: \(error)")
            }
            self.export(model)
            self.endIfOver()
        }
    }

    /// Writes a final table to its file, if the run exports them, and gives it up.
    private func export(_ model: Int) {
        guard let table = tables[model] else { preconditionFailure("a table is released twice") }
        guard options.exportFolder != nil, !isCancelled, plan.models[model].final else {
            return giveUpTable(of: model)
        }
        // The run, which may be over, is here as long as its table is held.
        exports.begin(table, of: model, to: path(ofExporting: model)) { outcome in
            self.giveUpTable(of: model)
            guard let outcome else { return }
            self.noteExport(of: model, outcome)
            self.endIfOver()
        }
    }

    /// Notes what became of a file that a model's table was to be in.
    func noteExport(of model: Int, _ outcome: ExportWork.Outcome) {
        switch outcome {
        case .written:
            let isSink = plan.models[model].sink != nil
            let table = isSink ? plan.models[model].inputs[0] : name(of: model)
            if options.notesExports || isSink { observer?.note("\(table) → \(path(ofExporting: model))") }
        case .stopped: noteFailure(ofExporting: model, "the run was cancelled")
        case .failed(let reason): noteFailure(ofExporting: model, reason)
        }
    }

    private func giveUpTable(of model: Int) {
        do {
            try tables.release(of: model)
        } catch {
            // The table is gone for its readers all the same; its memory goes with the engine at the latest.
            observer?.note("memory of '\(name(of: model))' was not given back: \(error)")
        }
        noteChange(around: model)
    }

    /// The file that a final model's table, or a sink's input, is written to.
    func path(ofExporting model: Int) -> String {
        guard let sink = plan.models[model].sink else {
            return "\(options.exportFolder ?? "")/\(plan.models[model].name).arrows"
        }
        return "\(options.sinkFolder ?? "")/\(sink.file)"
    }

    private func noteFailure(ofExporting model: Int, _ reason: String) {
        record.fail(name(of: model), "its table could not be written to \(path(ofExporting: model)): \(reason)")
    }

    /// Stops all exports.
    ///
    /// - Parameter waits: whether the run is over only when their disks have let them.
    func stopExports(waits: Bool) {
        exports.stop()
        guard !waits else { return }
        for model in exports.abandon() {
            noteFailure(ofExporting: model, "the run was cancelled, and the disk does not answer")
        }
        endIfOver()
    }
}
