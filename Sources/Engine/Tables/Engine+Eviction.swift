import Scheduler
import Store
import System

/// How tables go when memory is short, and come back.
extension Engine {
    /// What is smaller is not worth a move, in bytes.
    static let movedBytesMin = 1 << 20

    func evict(_ key: ResourceManager.TableKey, _ way: ResourceManager.Way) {
        guard let holding = tableIDs[key].flatMap({ holdings[$0] }), !holding.isMoving else {
            return tell(.evictionFailed(key, way))
        }
        guard !holding.isSaving else {
            holding.waitingEviction = way
            return
        }
        switch way {
        case .drop: drop(holding)
        case .spill: spill(holding)
        case .swap, .limit: swap(holding, way)
        }
    }

    private func fail(evicting holding: TableHolding, _ way: ResourceManager.Way) {
        tell(.evictionFailed(holding.key, way))
    }

    /// Lets the table go for all that hold it; models will be run again when somebody wants it.
    private func drop(_ holding: TableHolding) {
        let users = holding.models.compactMap { holder in run(holder.run).map { ($0, holder.model) } }
        guard !store.isRead(holding.table), !holding.isPromised, users.allSatisfy({ $0.scheduler.canDrop($1) }) else {
            return fail(evicting: holding, .drop)
        }
        let bytes = store.exclusiveBytes(of: holding.table)
        evictions.dropped.note(bytes)
        holding.told = nil
        tell(.evicted(holding.key, .drop, bytesFreed: bytes))
        for (run, model) in users { run.drop(model) }
        for holder in holding.holders { forget(holding.table, by: holder) }
    }

    /// Writes the table to the disk, on a thread of its own; from then on it is read from there.
    private func spill(_ holding: TableHolding) {
        guard let spillFolder, let work = try? store.beginSpill(holding.table, to: spillFolder) else {
            return fail(evicting: holding, .spill)
        }
        holding.isMoving = true
        move(work, .spill) { [weak self] outcome in self?.spilled(holding, outcome) }
    }

    private func spilled(_ holding: TableHolding, _ outcome: MoveOutcome) {
        holding.isMoving = false
        switch outcome {
        case .moved(let figures):
            evictions.spilled.note(figures.freedBytes)
            rates.note(spill: figures.bytesPerSecond)
            tell(.measured(rates))
            tell(.evicted(holding.key, .spill, bytesFreed: figures.freedBytes))
        case .superseded: fail(evicting: holding, .spill)
        case .failed(let error):
            // What would be much larger on a disk is no fault of anybody's.
            if error.code != .unsuitable { noteOnce("tables can't be spilled", error) }
            fail(evicting: holding, .spill)
        }
    }

    /// Moves a table on a thread of its own; `then` is called when it is where the outcome says.
    func move(_ work: MoveWork, _ kind: BackgroundWork.Kind, then: @escaping (MoveOutcome) -> Void) {
        background.begin(kind) {
            // What fails is said again at the end.
            try? work.run()
        } then: { [weak self] in
            guard let self else { return }
            let outcome = store.finish(work)
            holdingsAreStale = true
            // Letting go of the files takes a while where pages are small.
            background.begin(.free) { work.letGo() }
            then(outcome)
            // Something may have left a sealed segment, or has to be tried again as its tables have changed meanwhile.
            if case .failed = outcome { return }
            compact()
        }
    }

    /// Pushes the table out to swap, on a thread of its own: by advice, or by a lower limit of its control group.
    private func swap(_ holding: TableHolding, _ way: ResourceManager.Way) {
        let work = store.beginSwap(holding.table)
        let memory = holding.cgroup?.memory
        holding.isMoving = true
        background.begin(.spill) {
            if way == .limit {
                work.dropLimit { bytes in memory?.reclaim(UInt64(bytes)) }
            } else {
                work.pageOut { bytes in memory?.releaseSwapped(UInt64(bytes)) }
            }
        } then: { [weak self] in
            self?.swapped(holding, way, work)
        }
    }

    private func swapped(_ holding: TableHolding, _ way: ResourceManager.Way, _ work: SwapWork) {
        holding.isMoving = false
        holdingsAreStale = true
        switch store.finishSwap(work) {
        case .swapped(let figures) where figures.freedBytes > 0:
            holding.isSwapped = true
            if way == .limit {
                evictions.limited.note(figures.freedBytes)
                rates.note(limit: figures.bytesPerSecond)
            } else {
                evictions.swapped.note(figures.freedBytes)
                rates.note(swapOut: figures.bytesPerSecond)
            }
            tell(.measured(rates))
            tell(.evicted(holding.key, way, bytesFreed: figures.freedBytes))
        case .swapped, .noWay: fail(evicting: holding, way)
        case .failed(let error):
            noteOnce("tables can't be swapped", error)
            fail(evicting: holding, way)
        }
    }

    /// A table is going to be read: what is on swap of it comes back.
    func comesBack(_ table: TableID) {
        guard let holding = holdings[table], holding.isSwapped else { return }
        holding.isSwapped = false
        holdingsAreStale = true
        if let told = holding.told { tell(.restored(holding.key, bytes: told.bytes)) }
    }

    /// Reads tables back from the disk that can't be lent from there, each on a thread of its own, and waits for those that are being
    /// rewritten: lent before that, they would keep the memory of all that is dead beside them.
    ///
    /// - Parameter then: is called when all that are still held are in memory and lie still, or with what went wrong.
    func restore(_ tables: [TableID], then: @escaping ((any Error)?) -> Void) {
        if tables.contains(where: { holdings[$0] != nil && store.isBeingRewritten($0) }) {
            return waitingForCompaction.append { [weak self] in self?.restore(tables, then: then) }
        }
        // Others may have been moved to the disk while the last ones were read.
        let wanted = Set(tables.filter { holdings[$0] != nil && store.mustRestore($0) }).sorted()
        guard !wanted.isEmpty else { return then(nil) }
        var left = wanted.count
        var failure: (any Error)?
        for table in wanted {
            restore(table) { [weak self] error in
                failure = failure ?? error
                left -= 1
                guard left == 0 else { return }
                if let failure { then(failure) } else { self?.restore(tables, then: then) }
            }
        }
    }

    /// Reads one table back, once for all who wait for it.
    private func restore(_ table: TableID, then: @escaping ((any Error)?) -> Void) {
        guard restoring[table] == nil else {
            restoring[table]!.append(then)
            return
        }
        do {
            let work = try store.beginRestore(table)
            restoring[table] = [then]
            move(work, .restore) { [weak self] outcome in
                guard let self else { return }
                let error = restored(table, outcome)
                for waiting in restoring.removeValue(forKey: table) ?? [] { waiting(error) }
            }
        } catch {
            then(error)
        }
    }

    private func restored(_ table: TableID, _ outcome: MoveOutcome) -> (any Error)? {
        switch outcome {
        case .moved(let figures):
            evictions.restored.note(figures.bytes)
            rates.note(restore: figures.bytesPerSecond)
            tell(.measured(rates))
            if let holding = holdings[table] { tell(.restored(holding.key, bytes: figures.bytes)) }
            return nil
        case .superseded: return nil
        case .failed(let error): return error
        }
    }

    /// Tells all observers, the first time that something of the kind happens.
    func noteOnce(_ kind: String, _ error: any Error) {
        guard noted.insert(kind).inserted else { return }
        if runs.isEmpty { unsaid.append("\(kind): \(error)") }
        for run in runs { run.observer?.note("\(kind): \(error)") }
    }
}

extension ResourceManager.Rates {
    /// Takes in a measured rate; the last ones count most.
    mutating func note(spill bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &spillBytesPerSecond) }

    /// Takes in a measured rate; the last ones count most.
    mutating func note(restore bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &restoreBytesPerSecond) }

    /// Takes in a measured rate; the last ones count most.
    mutating func note(swapOut bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &swapOutBytesPerSecond) }

    /// Takes in a measured rate; the last ones count most.
    mutating func note(limit bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &limitBytesPerSecond) }

    private static func note(_ rate: Double, in average: inout Double) {
        if rate > 0 { average = (average + rate) / 2 }
    }
}
