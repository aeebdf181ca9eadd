/// The state of a run that its progress shows, at one moment.
public struct RunSnapshot: Equatable, Sendable {
    /// A model that is running.
    public struct Running: Equatable, Sendable {
        /// Its name.
        public var name: String
        /// Since its worker was asked for.
        public var elapsed: Duration
        /// The memory that its worker holds now, if that is known.
        public var memoryBytes: UInt64?

        /// A running model.
        public init(name: String, elapsed: Duration, memoryBytes: UInt64? = nil) {
            self.name = name
            self.elapsed = elapsed
            self.memoryBytes = memoryBytes
        }
    }

    /// All models of the run.
    public var modelCount: Int
    /// Models that have ended, in whatever way.
    public var endedCount: Int
    /// Those of them that failed.
    public var failedCount: Int
    /// Models that run, the longest running first.
    public var running: [Running]
    /// Since the run began.
    public var elapsed: Duration
    /// The run's activity when no model runs: `warming up python`.
    public var activity: String?
    /// The memory that models and tables hold, in bytes; nil when that is not known.
    public var memoryBytes: UInt64?

    /// A snapshot.
    public init(
        modelCount: Int, endedCount: Int, failedCount: Int = 0, running: [Running], elapsed: Duration,
        activity: String? = nil
    ) {
        self.modelCount = modelCount
        self.endedCount = endedCount
        self.failedCount = failedCount
        self.running = running
        self.elapsed = elapsed
        self.activity = activity
    }
}

/// How a model ended, for its line of progress and its row of the summary.
public struct ModelResult: Equatable, Sendable {
    /// How it ended.
    public enum Status: Equatable, Sendable {
        case success, failed, cancelled, skipped
        /// Its table was there already.
        case cached
        /// Nobody needed its table, because the tables of its readers were there already.
        case unneeded
    }

    /// Where the bytes of its table went; each byte is in one of them.
    public struct Travel: Equatable, Sendable {
        /// References to a table that it read.
        public var resharedBytes: UInt64
        /// In shared memory since they were allocated.
        public var bornSharedBytes: UInt64
        /// Moved into shared memory by the kernel.
        public var deanonymizedBytes: UInt64
        /// Small buffers gathered into one place.
        public var packedBytes: UInt64
        /// Copied.
        public var copiedBytes: UInt64

        /// Counts of bytes; none where none are given.
        public init(
            resharedBytes: UInt64 = 0, bornSharedBytes: UInt64 = 0, deanonymizedBytes: UInt64 = 0,
            packedBytes: UInt64 = 0, copiedBytes: UInt64 = 0
        ) {
            self.resharedBytes = resharedBytes
            self.bornSharedBytes = bornSharedBytes
            self.deanonymizedBytes = deanonymizedBytes
            self.packedBytes = packedBytes
            self.copiedBytes = copiedBytes
        }

        /// All bytes of the table. The counts are a worker's word, so that the sum may overflow; it then saturates.
        public var totalBytes: UInt64 {
            [resharedBytes, bornSharedBytes, deanonymizedBytes, packedBytes, copiedBytes].reduce(0, Travel.sum)
        }

        static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
            let (sum, overflow) = left.addingReportingOverflow(right)
            return overflow ? .max : sum
        }

        static func + (left: Travel, right: Travel) -> Travel {
            Travel(
                resharedBytes: sum(left.resharedBytes, right.resharedBytes),
                bornSharedBytes: sum(left.bornSharedBytes, right.bornSharedBytes),
                deanonymizedBytes: sum(left.deanonymizedBytes, right.deanonymizedBytes),
                packedBytes: sum(left.packedBytes, right.packedBytes),
                copiedBytes: sum(left.copiedBytes, right.copiedBytes))
        }
    }

    /// Its name.
    public var name: String
    /// How it ended.
    public var status: Status
    /// From the start of its worker to its table being readable; nil if it never started.
    public var time: Duration?
    /// Rows of its table.
    public var rows: Int64?
    /// How its bytes travelled; nil if it has no table.
    public var travel: Travel?
    /// The most memory that its worker held.
    public var memoryBytesMax: UInt64?
    /// The bytes that its SQL engine wrote to a disk.
    public var spilledBytes: UInt64?
    /// Why it wasn't a success, in a few words.
    public var reason: String?
    /// Whether it was warned about: it is not as it was declared to be.
    public var isDoubtful: Bool
    /// The bytes of the files that it read by itself.
    public var streamedBytes: UInt64

    /// A result.
    public init(
        name: String, status: Status, time: Duration? = nil, rows: Int64? = nil, travel: Travel? = nil,
        memoryBytesMax: UInt64? = nil, spilledBytes: UInt64? = nil, reason: String? = nil, isDoubtful: Bool = false,
        streamedBytes: UInt64 = 0
    ) {
        self.name = name
        self.status = status
        self.time = time
        self.rows = rows
        self.travel = travel
        self.memoryBytesMax = memoryBytesMax
        self.spilledBytes = spilledBytes
        self.reason = reason
        self.isDoubtful = isDoubtful
        self.streamedBytes = streamedBytes
    }
}
