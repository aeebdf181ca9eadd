import Sandbox
import Scheduler
import Store

/// The users of tables: the registry asks them for facts, and tells them what became of a table.
protocol TableUsers: AnyObject {
    /// Whether the run of a model is not over: only then does the model count as a user of its table.
    func isRunning(_ model: ResourceManager.ModelKey) -> Bool
    /// Whether the model's table could be made again if it were dropped.
    func canDrop(_ model: ResourceManager.ModelKey) -> Bool
    /// How long it would take to have the model's table again, in seconds, with all that has to be made again first.
    func secondsToMake(_ model: ResourceManager.ModelKey) -> Double
    /// How many models of the run will probably be granted before one that reads the model's table is; nil if none will.
    func grantsUntilRead(_ model: ResourceManager.ModelKey) -> Int?
    /// Has a holder forget its own record of a table that was evicted. A run has been told already.
    func lose(_ table: TableID, _ holder: TableHolding.Holder)
    /// Nobody holds the table any more, and the store has released it. Bytes in sealed segments may be dead now.
    func gone(_ table: TableID, key: ResourceManager.TableKey, isKnown: Bool)
    /// Notes something that went wrong and that no run has to fail for.
    func note(once kind: String, _ error: any Error)
}

/// The tables that the engine holds, with their holders: a table dies here, when its last holder releases it.
///
/// Owns the record of the holders, and of the facts reported to the resource manager. The bytes are the store's. Used on the
/// engine's thread.
final class TableRegistry {
    /// The users of the tables; set once, before the first table comes.
    weak var users: (any TableUsers)?

    private let store: SegmentStore
    /// The ways of eviction that the engine may use.
    private let ways: Set<ResourceManager.Way>
    private var holdings: [TableID: TableHolding] = [:]
    private var tables: [ResourceManager.TableKey: TableID] = [:]
    /// The tables whose facts may have changed since the last `changedFacts`. What changes in the store, the store tells.
    private var stale: Set<TableID> = []
    /// The tables that `noteSome` comes to next, the last one first.
    private var waitingForLook: [TableID] = []
    /// The free bytes of swap; nil when they are to be looked up again.
    private var swapBytesFree: Int?

    /// Tables below this size are not worth a move, in bytes.
    private static let movedBytesMin = 1 << 20

    /// A registry without tables.
    ///
    /// - Parameter ways: how tables may be evicted; without a folder to spill to, not by `spill`.
    init(_ store: SegmentStore, ways: Set<ResourceManager.Way>) {
        self.store = store
        self.ways = ways
    }

    // MARK: Holders

    /// Takes in a new table with its first holder.
    ///
    /// - Parameters:
    ///   - seconds: how long it took to make.
    ///   - maker: the model whose worker made it, if one did.
    ///   - cgroup: the control group that its segment is charged to.
    func add(
        _ table: TableID, by holder: TableHolding.Holder, seconds: Double, maker: ResourceManager.ModelKey? = nil,
        cgroup: WorkerCgroup? = nil
    ) {
        var key = ResourceManager.TableKey.cache(Int(table.rawValue))
        if case .run(let run, let model) = holder {
            // The name is taken if a cache still holds the table that the model made before.
            let name = ResourceManager.TableKey.table(run: run, model: model)
            if tables[name] == nil { key = name }
        }
        holdings[table] = TableHolding(
            table: table, key: key, maker: maker, holders: [holder], seconds: seconds, cgroup: cgroup)
        tables[key] = table
        stale.insert(table)
    }

    /// Adds a holder to a table.
    func retain(_ table: TableID, by holder: TableHolding.Holder) {
        change(table) { $0.holders.insert(holder) }
    }

    /// Removes a holder from a table. The last holder's release ends the table.
    func release(_ table: TableID, by holder: TableHolding.Holder) throws {
        guard let holding = holdings[table], holding.holders.contains(holder) else {
            preconditionFailure("table \(table) is released by somebody who doesn't hold it")
        }
        guard holding.holders.count == 1 else {
            return change(table) { $0.holders.remove(holder) }
        }
        holdings[table] = nil
        tables[holding.key] = nil
        defer { users?.gone(table, key: holding.key, isKnown: holding.toldFacts != nil) }
        try store.release(table)
    }

    /// Removes a holder that may hold the table no longer, because what follows from one release may have ended another holding.
    func releaseIfHeld(_ table: TableID, by holder: TableHolding.Holder) {
        guard holdings[table]?.holders.contains(holder) == true else { return }
        do {
            try release(table, by: holder)
        } catch {
            users?.note(once: "memory of a dropped table was not given back", error)
        }
    }

    /// Makes a holder release a table that has been evicted, and forget it, if it holds it still.
    func evict(_ table: TableID, from holder: TableHolding.Holder) {
        guard holdings[table]?.holders.contains(holder) == true else { return }
        users?.lose(table, holder)
        releaseIfHeld(table, by: holder)
    }

    // MARK: What is there

    /// The table's record; nil when nobody holds it.
    subscript(table: TableID) -> TableHolding? { holdings[table] }

    /// The record of the table that the resource manager knows by this key.
    subscript(key: ResourceManager.TableKey) -> TableHolding? { tables[key].flatMap { holdings[$0] } }

    /// The key that the resource manager knows a table by, which must be held.
    func key(of table: TableID) -> ResourceManager.TableKey {
        guard let holding = holdings[table] else { preconditionFailure("table \(table) is held by nobody") }
        return holding.key
    }

    /// Whether the table can be dropped: nobody reads it, and all its models could do without it until it is made again.
    func canDrop(_ holding: TableHolding) -> Bool {
        !store.isRead(holding.table) && !holding.isPromised && !holding.isLeased
            && running(holding).allSatisfy { users!.canDrop($0) }
    }

    /// The models that have the table and whose run is not over.
    private func running(_ holding: TableHolding) -> [ResourceManager.ModelKey] {
        guard let users else { return [] }
        return holding.models.filter(users.isRunning)
    }

    // MARK: Changes

    /// Notes that facts of a table may have changed that its users know, not the store: who will read it, or what making it again takes.
    func noteChange(of table: TableID) { stale.insert(table) }

    /// Notes the same of all tables.
    func noteChangeOfAll() { stale.formUnion(holdings.keys) }

    /// Has the next tables looked at, in turn: what the kernel has of them, and of swap, changes without notice.
    ///
    /// - Parameter count: how many; the work is the same however many tables are held.
    func noteSome(_ count: Int = 128) {
        swapBytesFree = nil
        if waitingForLook.isEmpty { waitingForLook = Array(holdings.keys) }
        stale.formUnion(waitingForLook.suffix(count))
        waitingForLook.removeLast(min(count, waitingForLook.count))
    }

    /// Records that a table begins to move, or where it lies now. The table may be gone meanwhile.
    func setPlace(_ place: TableHolding.Place, of table: TableID) {
        // What was moved, or is going to be, changes what is free.
        swapBytesFree = nil
        guard holdings[table] != nil else { return }
        change(table) { $0.place = place }
    }

    /// Records an eviction that has to wait until the table is saved; nil when none waits any more.
    func setWaitingEviction(_ way: ResourceManager.Way?, of table: TableID) {
        change(table) { $0.waitingEviction = way }
    }

    /// Records that the resource manager no longer knows the table, because it was dropped.
    func setUnknown(_ table: TableID) { change(table) { $0.toldFacts = nil } }

    private func change(_ table: TableID, _ body: (inout TableHolding) -> Void) {
        guard holdings[table] != nil else { preconditionFailure("table \(table) is held by nobody") }
        body(&holdings[table]!)
        stale.insert(table)
    }

    // MARK: Facts

    /// The facts that differ from those last reported; the caller reports them to the resource manager now. Only tables are looked at of which
    /// something may have changed: the time doesn't depend on how many are held.
    ///
    /// - Parameter swapBytesFree: the free bytes of swap; asked for from time to time.
    func changedFacts(
        swapBytesFree: () -> Int
    ) -> [(key: ResourceManager.TableKey, facts: ResourceManager.TableFacts)] {
        stale.formUnion(store.takeChangedTables())
        guard !stale.isEmpty else { return [] }
        defer { stale = [] }
        let free = self.swapBytesFree ?? swapBytesFree()
        self.swapBytesFree = free
        var changed: [(key: ResourceManager.TableKey, facts: ResourceManager.TableFacts)] = []
        for table in stale.sorted() {
            guard let holding = holdings[table], holding.place != .moving else { continue }
            let facts = facts(of: holding, swapBytesFree: free)
            guard holding.toldFacts != facts else { continue }
            holdings[holding.table]!.toldFacts = facts
            changed.append((holding.key, facts))
        }
        return changed
    }

    private func facts(of holding: TableHolding, swapBytesFree: Int) -> ResourceManager.TableFacts {
        let models = running(holding)
        let residentBytes = store.chargedBytes(of: holding.table, inMemory: true)
        // A table that can be lent from the disk takes up no memory again.
        let bytes =
            store.lock == .readOnlyDescriptor
            ? residentBytes : store.chargedBytes(of: holding.table, inMemory: false)
        let ways = residentBytes == 0 ? [] : ways(for: holding, models, residentBytes, swapBytesFree)
        let canDrop = ways.contains(.drop)
        return ResourceManager.TableFacts(
            bytes: bytes, residentBytes: holding.place == .swapped ? nil : residentBytes,
            recomputeSeconds: canDrop ? models.map { users!.secondsToMake($0) }.max() ?? holding.seconds : nil,
            ways: ways, nextUse: models.compactMap { users!.grantsUntilRead($0) }.min(), owner: models.first?.run,
            maker: holding.maker)
    }

    /// How the table may be evicted, as far as that is known before somebody tries.
    private func ways(
        for holding: TableHolding, _ models: [ResourceManager.ModelKey], _ bytes: Int, _ swapBytesFree: Int
    ) -> Set<ResourceManager.Way> {
        // A worker may be reading it, or is going to. A table that is only being saved can go a little later.
        guard holding.isSaving || !store.isRead(holding.table), !holding.isPromised, !holding.isLeased else {
            return []
        }
        var ways = ways
        // Bytes that another table names as well stay when this one is dropped.
        if store.exclusiveBytes(of: holding.table) < bytes / 10 * 9 || !models.allSatisfy({ users!.canDrop($0) }) {
            ways.remove(.drop)
        }
        if bytes < Self.movedBytesMin { ways.remove(.spill) }
        if bytes < Self.movedBytesMin || holding.place == .swapped || swapBytesFree < bytes {
            ways.subtract([.swap, .limit])
        }
        if holding.cgroup == nil { ways.remove(.limit) }
        return ways
    }
}
