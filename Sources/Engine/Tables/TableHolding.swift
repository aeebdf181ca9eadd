import Sandbox
import Scheduler
import Store

/// A table of the store that the engine holds, and for whom.
///
/// The store's table is released when nobody holds it any more. Used on the engine's thread.
final class TableHolding {
    /// Who needs a table.
    enum Holder: Hashable {
        /// A run: as the table of this model.
        case run(Int, model: Int)
        /// The cache of results, under this key.
        case result(String)
        /// DeCache: it is a piece of a scan.
        case piece
        /// A scan's worker that is to be lent it.
        case scan(String)
        /// It is being written to the folder of saved results, under this key.
        case save(String)
    }

    let table: TableID
    /// What the resource manager calls it: by who made it, so that it knows a table that was made again.
    let key: ResourceManager.TableKey
    /// The model whose worker made it, as long as its run lasts.
    let maker: ResourceManager.ModelKey?
    var holders: Set<Holder>
    /// How long it took to make, in seconds.
    let seconds: Double
    /// The control group that its segment is charged to; nil where there is none. The store keeps it as long as the segment.
    weak var cgroup: WorkerCgroup?
    /// Some of it is on swap, and comes back when it is read.
    var isSwapped = false
    /// What the resource manager was told last; nil when it does not know the table.
    var told: ResourceManager.TableFacts?
    /// What it is shared under as a whole scan; nil if it isn't.
    var scanKey: String?
    /// An eviction is under way.
    var isMoving = false
    /// It is to be evicted like that when it has been saved.
    var waitingEviction: ResourceManager.Way?

    init(
        _ table: TableID, key: ResourceManager.TableKey, maker: ResourceManager.ModelKey?, by holder: Holder,
        seconds: Double, cgroup: WorkerCgroup?
    ) {
        self.table = table
        self.maker = maker
        self.cgroup = cgroup
        self.key = key
        self.holders = [holder]
        self.seconds = seconds
    }

    /// A scan's worker is going to be lent it.
    var isPromised: Bool { holders.contains { if case .scan = $0 { true } else { false } } }

    /// It is being saved.
    var isSaving: Bool { holders.contains { if case .save = $0 { true } else { false } } }

    /// The models it is the table of.
    var models: [(run: Int, model: Int)] {
        holders.compactMap { holder in
            if case .run(let run, let model) = holder { (run, model) } else { nil }
        }
    }
}

extension Engine {
    /// Takes in a new table that somebody needs; from then on the engine sees to its end.
    ///
    /// - Parameters:
    ///   - seconds: how long it took to make.
    ///   - maker: the model whose worker made it, if one did.
    ///   - cgroup: what its segment is charged to.
    func hold(
        _ table: TableID, by holder: TableHolding.Holder, seconds: Double, maker: ResourceManager.ModelKey? = nil,
        cgroup: WorkerCgroup? = nil
    ) {
        var key = ResourceManager.TableKey.cache(Int(table.rawValue))
        if case .run(let run, let model) = holder {
            // Where a cache still has the one that the model made before, the name is taken.
            let name = ResourceManager.TableKey.table(run: run, model: model)
            if tableIDs[name] == nil { key = name }
        }
        holdings[table] = TableHolding(table, key: key, maker: maker, by: holder, seconds: seconds, cgroup: cgroup)
        tableIDs[key] = table
        holdingsAreStale = true
    }

    /// Somebody else needs a table too.
    func share(_ table: TableID, with holder: TableHolding.Holder) {
        holdings[table]!.holders.insert(holder)
        holdingsAreStale = true
    }

    /// Somebody needs the table no more. With its last holder it goes, and with it what sealed segments hold for nothing.
    func letGo(_ table: TableID, by holder: TableHolding.Holder) throws {
        guard let holding = holdings[table], holding.holders.remove(holder) != nil else {
            preconditionFailure("table \(table) is let go of by somebody who doesn't hold it")
        }
        holdingsAreStale = true
        guard holding.holders.isEmpty else { return }
        holdings[table] = nil
        tableIDs[holding.key] = nil
        if let key = holding.scanKey { scans.forget(table, key: key) }
        defer { if holding.told != nil { tell(.tableGone(holding.key)) } }
        try store.release(table)
        compact()
    }
}
