import Sandbox
import Scheduler
import Store

/// A table of the store that the engine holds, and for whom.
///
/// The store's table is released when nobody holds it any more. Used on the engine's thread.
final class Holding {
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
    }

    let table: TableID
    /// What the resource manager calls it: by who made it, so that it knows a table that was made again.
    let key: ResourceManager.TableKey
    var holders: Set<Holder>
    /// How long it took to make, in seconds.
    let seconds: Double
    /// The control group that its segment is charged to; nil where there is none.
    let cgroup: WorkerCgroup?
    /// Some of it is on swap, and comes back when it is read.
    var isSwapped = false
    /// What the resource manager was told last; nil when it does not know the table.
    var told: ResourceManager.Table?
    /// An eviction is under way.
    var isMoving = false

    init(_ table: TableID, key: ResourceManager.TableKey, by holder: Holder, seconds: Double, cgroup: WorkerCgroup?) {
        self.table = table
        self.cgroup = cgroup
        self.key = key
        self.holders = [holder]
        self.seconds = seconds
    }

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
    ///   - cgroup: what its segment is charged to.
    func hold(_ table: TableID, by holder: Holding.Holder, seconds: Double, cgroup: WorkerCgroup? = nil) {
        let key: ResourceManager.TableKey =
            if case .run(let run, let model) = holder { .table(run: run, model: model) } else {
                .cache(Int(table.rawValue))
            }
        holdings[table] = Holding(table, key: key, by: holder, seconds: seconds, cgroup: cgroup)
        tableIDs[key] = table
        holdingsAreStale = true
    }

    /// Somebody else needs a table too.
    func share(_ table: TableID, with holder: Holding.Holder) {
        holdings[table]!.holders.insert(holder)
        holdingsAreStale = true
    }

    /// Somebody needs the table no more. With its last holder it goes, and with it what sealed segments hold for nothing.
    func letGo(_ table: TableID, by holder: Holding.Holder) throws {
        guard let holding = holdings[table], holding.holders.remove(holder) != nil else {
            preconditionFailure("table \(table) is let go of by somebody who doesn't hold it")
        }
        holdingsAreStale = true
        guard holding.holders.isEmpty else { return }
        holdings[table] = nil
        tableIDs[holding.key] = nil
        if holding.told != nil { tell(.tableGone(holding.key)) }
        try store.release(table)
        compactedBytes += try compact()
    }
}
