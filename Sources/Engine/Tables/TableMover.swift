import Scheduler
import Store

/// The receiver of a mover's reports: the way to the resource manager and the runs.
protocol TableMoverDelegate: AnyObject {
    /// Passes a fact to the resource manager.
    func tell(_ event: ResourceManager.Event)
    /// Tells the model's run that the table is dropped: the run has to make it again when somebody wants it.
    func drop(_ model: ResourceManager.ModelKey)
    /// Notes something that went wrong and that no run has to fail for.
    func note(once kind: String, _ error: any Error)
}

/// Moves tables: out of memory when it is short, back when they are read, and together when little else is live in sealed segments.
///
/// Owns the moves under way, the calls that wait for them, and the figures of what they did. The bytes move on the threads of
/// `BackgroundWork`; the registry has the record of a table's holders. Used on the engine's thread.
final class TableMover {
    /// The way to the resource manager and the runs; set once, before the first table comes.
    weak var delegate: (any TableMoverDelegate)?

    private let store: SegmentStore
    private let tables: TableRegistry
    private let background: BackgroundWork
    /// The folder that tables are spilled to; nil when there is none.
    let spillFolder: SpillFolder?
    /// The tables that are being read back from the disk, with the calls that wait for each.
    private var restoring: [TableID: [((any Error)?) -> Void]] = [:]
    /// The calls that wait until a sealed segment has been rewritten.
    private var waitingForCompaction: [() -> Void] = []
    /// How fast memory was moved here.
    private var rates = ResourceManager.Rates()

    /// The evictions since the engine was made.
    private(set) var evictions = EvictionReport()
    /// Bytes copied to free segments of which little was still needed, since the engine was made.
    private(set) var compactedBytes: UInt64 = 0

    init(_ store: SegmentStore, _ tables: TableRegistry, _ background: BackgroundWork, spillFolder: SpillFolder?) {
        self.store = store
        self.tables = tables
        self.background = background
        self.spillFolder = spillFolder
    }

    // MARK: Out of memory

    /// Evicts a table, and answers the resource manager with `evicted` or `evictionFailed` when that is done.
    func evict(_ key: ResourceManager.TableKey, _ way: ResourceManager.Way) {
        guard let holding = tables[key], holding.place != .moving else { return fail(key, way) }
        guard !holding.isSaving else { return tables.setWaitingEviction(way, of: holding.table) }
        switch way {
        case .drop: drop(holding)
        case .spill: spill(holding)
        case .swap, .limit: swap(holding, way)
        }
    }

    private func fail(_ key: ResourceManager.TableKey, _ way: ResourceManager.Way) {
        delegate?.tell(.evictionFailed(key, way))
    }

    /// Drops the table for all its holders; models are run again when somebody wants it.
    private func drop(_ holding: TableHolding) {
        guard tables.canDrop(holding) else { return fail(holding.key, .drop) }
        let bytes = store.exclusiveBytes(of: holding.table)
        evictions.dropped.note(bytes)
        tables.setUnknown(holding.table)
        delegate?.tell(.evicted(holding.key, .drop, bytesFreed: bytes))
        for holder in holding.holders { tables.evict(holding.table, from: holder) }
        for model in holding.models { delegate?.drop(model) }
    }

    /// Writes the table to the disk; from then on it is read from there.
    private func spill(_ holding: TableHolding) {
        guard let spillFolder, let work = try? store.beginSpill(holding.table, to: spillFolder) else {
            return fail(holding.key, .spill)
        }
        tables.setPlace(.moving, of: holding.table)
        move(work, .spill) { [weak self] outcome in self?.spilled(holding, outcome) }
    }

    private func spilled(_ holding: TableHolding, _ outcome: MoveOutcome) {
        tables.setPlace(holding.place, of: holding.table)
        switch outcome {
        case .moved(let figures):
            evictions.spilled.note(figures.freedBytes)
            measure { $0.note(spill: figures.bytesPerSecond) }
            delegate?.tell(.evicted(holding.key, .spill, bytesFreed: figures.freedBytes))
        case .superseded: fail(holding.key, .spill)
        case .failed(let error):
            // A table that would be much larger on a disk is no fault of anybody's.
            if error.code != .unsuitable { delegate?.note(once: "tables can't be spilled", error) }
            fail(holding.key, .spill)
        }
    }

    /// Pushes the table out to swap: by advice, or by a lower limit of its control group.
    private func swap(_ holding: TableHolding, _ way: ResourceManager.Way) {
        let work = store.beginSwap(holding.table)
        let memory = holding.cgroup?.memory
        tables.setPlace(.moving, of: holding.table)
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
        switch store.finishSwap(work) {
        case .swapped(let figures) where figures.freedBytes > 0:
            tables.setPlace(.swapped, of: holding.table)
            if way == .limit {
                evictions.limited.note(figures.freedBytes)
                measure { $0.note(limit: figures.bytesPerSecond) }
            } else {
                evictions.swapped.note(figures.freedBytes)
                measure { $0.note(swapOut: figures.bytesPerSecond) }
            }
            delegate?.tell(.evicted(holding.key, way, bytesFreed: figures.freedBytes))
        case .swapped, .noWay:
            tables.setPlace(holding.place, of: holding.table)
            fail(holding.key, way)
        case .failed(let error):
            tables.setPlace(holding.place, of: holding.table)
            delegate?.note(once: "tables can't be swapped", error)
            fail(holding.key, way)
        }
    }

    /// Takes in a measured speed, and reports it to the resource manager.
    private func measure(_ note: (inout ResourceManager.Rates) -> Void) {
        note(&rates)
        delegate?.tell(.measured(rates))
    }

    /// Moves a table in the background; `then` is called when it is where the outcome says.
    private func move(_ work: MoveWork, _ kind: BackgroundWork.Kind, then: @escaping (MoveOutcome) -> Void) {
        background.begin(kind) {
            // The work keeps its error, and `store.finish` returns it below.
            try? work.run()
        } then: { [weak self] in
            guard let self else { return }
            let outcome = store.finish(work)
            // Closing the files takes a while where pages are small.
            background.begin(.free) { work.letGo() }
            then(outcome)
            // Bytes may have left a sealed segment; or a compaction is to be tried again, because its tables have changed meanwhile.
            if case .failed = outcome { return }
            compact()
        }
    }

    // MARK: Back into memory

    /// Lends a table to a worker. It is going to be read, so that its pages on swap come back.
    func lend(_ table: TableID, to worker: BorrowerID) -> Loan {
        comesBack(table)
        return store.lend(table, to: worker)
    }

    private func comesBack(_ table: TableID) {
        guard let holding = tables[table], holding.place == .swapped else { return }
        tables.setPlace(.still, of: table)
        if let facts = holding.toldFacts { delegate?.tell(.restored(holding.key, bytes: facts.bytes)) }
    }

    /// Reads tables back from the disk that can't be lent from there, and waits until segments of theirs aren't being rewritten:
    /// a table lent before that would keep all the dead memory beside it.
    ///
    /// - Parameter then: called when all that are still held are in memory and lie still, or with an error.
    func restore(_ wanted: [TableID], then: @escaping ((any Error)?) -> Void) {
        if wanted.contains(where: { tables[$0] != nil && store.isBeingRewritten($0) }) {
            return waitingForCompaction.append { [weak self] in self?.restore(wanted, then: then) }
        }
        // Other tables may have been moved to the disk while the last ones were read.
        let onDisk = Set(wanted.filter { tables[$0] != nil && store.mustRestore($0) }).sorted()
        guard !onDisk.isEmpty else { return then(nil) }
        var left = onDisk.count
        var failure: (any Error)?
        for table in onDisk {
            restore(table) { [weak self] error in
                failure = failure ?? error
                left -= 1
                guard left == 0 else { return }
                if let failure { then(failure) } else { self?.restore(wanted, then: then) }
            }
        }
    }

    /// Reads one table back, once for all calls that wait for it.
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
            measure { $0.note(restore: figures.bytesPerSecond) }
            if let holding = tables[table] { delegate?.tell(.restored(holding.key, bytes: figures.bytes)) }
            return nil
        case .superseded: return nil
        case .failed(let error): return error
        }
    }

    // MARK: Together

    /// Begins to rewrite sealed segments of which little is still needed: no page of them can be given back otherwise.
    func compact() {
        do {
            for segment in try store.compactable() {
                move(try store.beginCompaction(segment), .compact) { [weak self] outcome in self?.compacted(outcome) }
            }
        } catch {
            noteCompaction(failed: error)
        }
    }

    /// Lets the calls go on that waited for a segment, when it has been rewritten or couldn't be.
    private func compacted(_ outcome: MoveOutcome) {
        let waiting = waitingForCompaction
        waitingForCompaction = []
        defer { for goOn in waiting { goOn() } }
        switch outcome {
        case .moved(let figures): compactedBytes += UInt64(clamping: figures.bytes)
        case .superseded: break
        case .failed(let error): noteCompaction(failed: error)
        }
    }

    private func noteCompaction(failed error: any Error) {
        delegate?.note(once: "memory of which little is needed was not given back", error)
    }
}
