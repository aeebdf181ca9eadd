import Sandbox
import Scheduler
import Store

/// A table of the store that the engine holds, with its holders.
///
/// A value: `TableRegistry` owns the only copy that counts.
struct TableHolding {
    /// A holder of a table: a run or a cache that needs it.
    enum Holder: Hashable {
        /// A run, as the table of this model.
        case run(Int, model: Int)
        /// The cache of results, under this key.
        case result(String)
        /// DeCache, as a piece of a scan.
        case piece
        /// A scan's worker that is going to be lent the table.
        case scan(String)
        /// A program outside the engine that was handed the table, by the lease's number.
        case lease(Int)
        /// The saving of results, while the table is written under this key.
        case save(String)
    }

    /// Where the pages of a table are, as far as evictions tell.
    enum Place {
        /// In memory, or in a file on a disk that is mapped; the store knows which.
        case still
        /// An eviction is under way.
        case moving
        /// Some of it is on swap, and comes back when it is read.
        case swapped
    }

    let table: TableID
    /// The key the resource manager knows this table by: run and model of its producer. A table that was dropped and made again
    /// gets the same key, so that drops of it can be counted.
    let key: ResourceManager.TableKey
    /// The model whose worker made it, as long as its run lasts.
    let maker: ResourceManager.ModelKey?
    var holders: Set<Holder>
    /// How long it took to make, in seconds.
    let seconds: Double
    /// The control group that its segment is charged to; nil where there is none. The store keeps it as long as the segment.
    weak var cgroup: WorkerCgroup?
    var place = Place.still
    /// The facts last reported to the resource manager; nil when it does not know the table.
    var toldFacts: ResourceManager.TableFacts?
    /// The eviction that waits until the table has been saved.
    var waitingEviction: ResourceManager.Way?

    /// Whether a scan's worker is going to be lent it.
    var isPromised: Bool { holders.contains { if case .scan = $0 { true } else { false } } }

    /// Whether a program outside the engine has it.
    var isLeased: Bool { holders.contains { if case .lease = $0 { true } else { false } } }

    /// Whether it is being saved.
    var isSaving: Bool { holders.contains { if case .save = $0 { true } else { false } } }

    /// The models whose table it is.
    var models: [ResourceManager.ModelKey] {
        holders.compactMap { holder in
            if case .run(let run, let model) = holder { ResourceManager.ModelKey(run, model) } else { nil }
        }
    }
}
