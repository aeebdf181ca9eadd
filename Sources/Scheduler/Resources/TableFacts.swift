extension ResourceManager {
    /// Names a table, as long as it is held.
    public enum TableKey: Hashable, Comparable, Sendable {
        /// The table that a model of a run makes.
        case table(run: RunID, model: Int)
        /// A table of a cache; the caller chooses the number.
        case cache(Int)
    }

    /// How a table can be evicted.
    public enum Way: Int, CaseIterable, Comparable, Sendable {
        /// Forget it: the model that made it is run again when a reader comes, and a cached one is read again.
        case drop
        /// Write it to a file on disk, which is mapped when a reader comes.
        case spill
        /// Have its pages swapped out.
        case swap
        /// Lower the limit of the control group that it is charged to, so that the kernel swaps it out.
        case limit

        /// The order in which ways are preferred at equal cost.
        public static func < (left: Way, right: Way) -> Bool { left.rawValue < right.rawValue }
    }

    /// The figures of a held table, by which the manager decides about its eviction.
    public struct TableFacts: Equatable, Sendable {
        /// The bytes that eviction would free: those that no other table names.
        public var bytes: Int
        /// How many of them are in memory, the rest being on a disk; nil if they are as the evictions so far have left them.
        public var residentBytes: Int?
        /// How long it takes to have a dropped table back when its next reader comes, in seconds, with everything that has to be
        /// run again for that. Nil if it can't be dropped.
        public var recomputeSeconds: Double?
        /// How it can be evicted. Without `recomputeSeconds` not by `drop`.
        public var ways: Set<Way>
        /// How many models of its run are granted before its next reader, nil if no reader is known: it is a cache, or
        /// a result.
        public var nextUse: Int?
        /// The run whose limit it counts against, nil for the engine's alone.
        public var owner: RunID?
        /// The granted model whose worker made it, if the key doesn't say so: that worker's use counts these bytes already.
        public var maker: ModelKey?

        /// A table.
        public init(
            bytes: Int, residentBytes: Int? = nil, recomputeSeconds: Double? = nil, ways: Set<Way>, nextUse: Int? = nil,
            owner: RunID? = nil,
            maker: ModelKey? = nil
        ) {
            self.bytes = bytes
            self.residentBytes = residentBytes
            self.recomputeSeconds = recomputeSeconds
            self.ways = ways
            self.nextUse = nextUse
            self.owner = owner
            self.maker = maker
        }
    }

    /// Names a model of a run.
    public struct ModelKey: Hashable, Comparable, Sendable {
        /// The run.
        public let run: RunID
        /// The model's index in the run's graph.
        public let model: Int

        /// The model of the run.
        public init(_ run: RunID, _ model: Int) {
            self.run = run
            self.model = model
        }

        /// By run, then by model.
        public static func < (left: ModelKey, right: ModelKey) -> Bool {
            (left.run, left.model) < (right.run, right.model)
        }
    }

    /// A table, and where it is.
    struct TableState: Sendable {
        var table: TableFacts
        /// How much of it is in memory.
        var residentBytes: Int
        /// How it was evicted since it was last whole in memory.
        var evictedBy: Set<Way> = []
        /// Ways that failed.
        var failed: Set<Way> = []
        /// When its next reader is expected, by the count of its run's grants, or by the clock if no run owns it.
        var nextUseAt: Int?
        /// When it was made or last read, by the clock.
        var usedAt: Int
        /// What it counts in the ledger.
        var counted = Counted()
    }

    /// The figures with which a table counts in the sums.
    struct Counted: Equatable, Sendable {
        var run: RunID?
        var bytes = 0
        /// The part of `bytes` that can't be evicted, because no way is left.
        var fixedBytes = 0
        /// The part of `fixedBytes` that no reader is known for: it stays until the run ends.
        var keptBytes = 0
    }

    /// An eviction that isn't answered yet.
    struct Eviction: Sendable {
        let way: Way
        /// The bytes that it will free, and the run under whose limit too.
        var bytes: Int
        var run: RunID?
        /// Whether the table is gone meanwhile. There may be another one of that name.
        var isStale = false
    }

    /// Free segments, ready for use.
    struct Pool: Sendable {
        var bytes = 0
        /// The size that it was asked to shrink to, nil once that is answered.
        var target: Int?
        /// The size that was left when it couldn't shrink as far as it was asked to.
        var fixedBytes = 0

        /// The bytes that are going to be freed.
        var leavingBytes: Int { target.map { max(0, bytes - $0) } ?? 0 }
    }
}
