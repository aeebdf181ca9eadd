import FoundationEssentials

/// What `--output json` prints: the run and each of its models.
public struct RunReport: Codable, Sendable {
    /// A failure, with its model if it was in one.
    public struct Failure: Codable, Sendable {
        /// The model's name; null when the run itself failed.
        @Nullable public var model: String?
        /// What happened, in words for the user.
        public var message: String

        /// A failure of a model, or of the run as a whole.
        public init(model: String?, message: String) {
            self.model = model
            self.message = message
        }
    }

    /// A published table.
    public struct Output: Codable, Sendable {
        /// Rows of the table.
        public var rows: Int64
        /// Bytes of all its buffers, each counted once.
        public var bytes: UInt64
        /// How they travelled.
        public var counts: ByteCounts
        /// How memory was moved; nil when KernelZero is not used.
        public var moves: KernelZeroReport?

        enum CodingKeys: String, CodingKey {
            case rows, bytes
            case moves = "kernelzero"
        }

        /// A table of `rows` rows whose bytes are those of `counts`.
        public init(rows: Int64, counts: ByteCounts, moves: KernelZeroReport? = nil) {
            self.rows = rows
            self.bytes = counts.total
            self.counts = counts
            self.moves = moves
        }

        /// Reads the counters from beside `rows` and `bytes`.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            rows = try container.decode(Int64.self, forKey: .rows)
            bytes = try container.decode(UInt64.self, forKey: .bytes)
            counts = try ByteCounts(from: decoder)
            moves = try container.decodeIfPresent(KernelZeroReport.self, forKey: .moves)
        }

        /// Writes the counters beside `rows` and `bytes`.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rows, forKey: .rows)
            try container.encode(bytes, forKey: .bytes)
            try container.encodeIfPresent(moves, forKey: .moves)
            try counts.encode(to: encoder)
        }
    }

    /// One model of the run.
    public struct Model: Codable, Sendable {
        /// Its name.
        public var name: String
        /// `success`, `cached` (its table was there), `unneeded` (nobody had to read it), `failed`, `cancelled` or `skipped`.
        public var status: String
        /// When its worker was asked for, since the run began.
        @Nullable public var startMilliseconds: Double?
        /// From then to the table being readable.
        @Nullable public var wallMilliseconds: Double?
        /// The most memory its worker held.
        @Nullable public var memoryBytesMax: UInt64?
        /// The bytes that its SQL engine wrote to a disk, as they didn't fit into its memory; null for other models.
        @Nullable public var spilledBytes: UInt64? = nil
        /// How often it was run: more than once where its table was dropped, or its worker had too little memory.
        public var executions: Int
        /// Where the time went, by the worker's own clock.
        public var timing: [String: Double]
        /// What a scan shared with others; null for other models.
        @Nullable public var decache: DeCacheReport?
        /// The table; null when there is none.
        @Nullable public var output: Output?
        /// Whether its result is kept for later runs, where there is something to keep it.
        public var isKept = false
        /// Why it is not; null where it is, or where there is no result.
        @Nullable public var because: String? = nil
        /// How its result differs from what it declares; of an expectation, that it is not met.
        public var warnings: [String] = []
        /// The sources that it read by itself, from their files; none where there was a scan before it.
        public var streamed: [Plan.Streamed] = []

        enum CodingKeys: String, CodingKey {
            case name, status, executions, decache, timing, output, because, warnings, streamed
            case isKept = "cached"
            case startMilliseconds = "start_ms"
            case wallMilliseconds = "wall_ms"
            case memoryBytesMax = "memory_bytes_max"
            case spilledBytes = "spilled_bytes"
        }
    }

    /// A table of the catalog that the run has published.
    public struct PublishedTable: Codable, Sendable, Equatable {
        /// Its name with its namespace.
        public var table: String
        /// `REPLACE`, `APPEND` or `OVERWRITE_PARTITIONS`.
        public var strategy: String
        /// How many rows were written.
        public var rows: Int64
        /// The bytes of the files that were written.
        public var bytes: Int64
        /// How many these are.
        public var files: Int
    }

    /// The first rows of a final table, as text.
    public struct Preview: Codable, Sendable {
        /// The model.
        public var model: String
        /// The text, several lines.
        public var text: String
    }

    /// The run's id.
    public var run: String
    /// `success`, `failed` or `cancelled`.
    public var status: String
    /// From the first model to the last table.
    public var wallMilliseconds: Double
    /// The first failure; null when there is none.
    @Nullable public var error: Failure?
    /// Every failure, the first one included.
    public var errors: [Failure]
    /// All models, in the plan's order.
    public var models: [Model]
    /// The shared memory of its tables; null when it did not get as far as its models.
    @Nullable public var memory: MemoryReport?
    /// Who had slots that this run waited for, or that others waited for and its models had.
    public var slotWaits: [SlotWait] = []
    /// The tables of the catalog that it has published, in the order of their commits.
    public var published: [PublishedTable] = []
    /// The first rows of the final tables; not part of the JSON.
    public var previews: [Preview] = []

    enum CodingKeys: String, CodingKey {
        case run, status, error, errors, models, memory, published
        case wallMilliseconds = "wall_ms"
        case slotWaits = "slot_waits"
    }

    /// A report of a run that did not get as far as its models.
    public init(run: String, failures: [Failure]) {
        self.run = run
        status = "failed"
        wallMilliseconds = 0
        error = failures.first
        errors = failures
        models = []
    }

    /// The report as one JSON object.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        guard let data = try? encoder.encode(self) else { preconditionFailure("a report that JSON cannot hold") }
        return String(decoding: data, as: UTF8.self)
    }
}
