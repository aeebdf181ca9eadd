import Store
import System

/// How a run gives memory back.
extension Run {
    /// Nobody will read the table any more.
    func release(_ model: Int) {
        export(model)
        guard let table = tables.removeValue(forKey: model) else { preconditionFailure("a table is released twice") }
        do {
            try engine.letGo(table, by: .run(number, model: model))
        } catch {
            // The table is gone for its readers all the same; its memory goes with the engine at the latest.
            observer?.note("memory of '\(name(of: model))' was not given back: \(error)")
        }
    }

    /// Gives back what the engine holds for a worker, but for a segment, which `seal` and `discard` see to.
    func free(_ worker: Worker) {
        worker.deadline = nil
        if let identity = worker.identity { engine.identities?.give(back: identity) }
        // The group of a table's segment goes with the table: what is charged to it can be moved to swap as long as it is there.
        worker.cgroup = nil
        if worker.scan != nil {
            engine.decache.end(worker.storeID)
            engine.answerScans()
        }
        // Tables that it read are idle now, and its output may be in the pool.
        engine.holdingsAreStale = true
        do {
            try engine.store.end(worker.storeID)
        } catch {
            observer?.note("memory of worker \(worker.name) was not given back: \(error)")
        }
    }
}
