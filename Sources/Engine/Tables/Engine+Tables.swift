import Scheduler
import Store

/// The engine as the user of tables: for its runs, and for its caches.
extension Engine: TableUsers, TableMoverDelegate {
    func isRunning(_ model: ResourceManager.ModelKey) -> Bool { run(model.run) != nil }

    func canDrop(_ model: ResourceManager.ModelKey) -> Bool {
        run(model.run)?.scheduler.canDrop(model.model) != false
    }

    func secondsToMake(_ model: ResourceManager.ModelKey) -> Double {
        guard let run = run(model.run) else { return 0 }
        return (run.scheduler.rerun(of: model.model) ?? []).reduce(0) { $0 + run.record.seconds(toRun: $1) }
    }

    func grantsUntilRead(_ model: ResourceManager.ModelKey) -> Int? {
        run(model.run)?.grantsUntilRead(of: model.model)
    }

    func drop(_ model: ResourceManager.ModelKey) { run(model.run)?.drop(model.model) }

    func lose(_ table: TableID, _ holder: TableHolding.Holder) {
        switch holder {
        case .run, .scan, .save, .lease: break
        case .result(let key): results.remove(key)
        case .piece: decache.remove(table)
        }
    }

    func gone(_ table: TableID, key: ResourceManager.TableKey, isKnown: Bool) {
        scans.forget(table)
        mover.compact()
        if isKnown { tell(.tableGone(key)) }
    }

    func note(once kind: String, _ error: any Error) { notes.add(once: kind, "\(error)", to: runs) }
}
