import Scheduler

/// Which ways of eviction an engine may use.
public enum EvictionPolicy: String, CaseIterable, Sendable {
    /// All of them: the cheapest one for each table.
    case adaptive
    /// Tables are dropped, and their models run again when somebody reads them.
    case drop
    /// Tables are written to disk.
    case spill
    /// Tables are pushed out to swap.
    case swap
    /// Tables stay where they are: the kernel pushes them out to swap, by lower limits of their control groups.
    case limit
    /// No table is evicted.
    case none

    /// The ways it allows.
    var ways: Set<ResourceManager.Way> {
        switch self {
        case .adaptive: [.drop, .spill, .swap, .limit]
        case .drop: [.drop]
        case .spill: [.spill]
        case .swap: [.swap]
        case .limit: [.limit]
        case .none: []
        }
    }
}
