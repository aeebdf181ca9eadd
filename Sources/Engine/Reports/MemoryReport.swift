import Store

/// How much shared memory a run's tables took.
public struct MemoryReport: Codable, Sendable {
    /// The most that segments held at once, those kept for reuse included, in bytes: looked at whenever a table is
    /// published, when it is at its largest.
    public var segmentsBytesMax: UInt64 = 0
    /// The most RAM that was charged to the run's control group at once, in bytes: its workers, and what they wrote to segments. Nil
    /// where there is no control group.
    @Nullable public var runBytesMax: UInt64?
    /// The run's limit, in bytes; nil for none.
    @Nullable public var limitBytes: UInt64?
    /// What segments hold when the run is over and all its tables are released, in bytes.
    public var segmentsBytesEnd: UInt64 = 0
    /// Memory kept faulted in for later outputs when the run is over, in bytes.
    public var pooledBytesEnd: UInt64 = 0
    /// Bytes copied to free segments of which little was still needed. Only where segments are sealed.
    public var compactedBytes: UInt64 = 0
    /// Bytes moved out of outputs of which next to nothing was published, to keep their memory for later outputs: small results,
    /// 128 KiB each at most.
    public var extractedBytes: UInt64 = 0

    /// Evictions while the run lasted, of any run's tables.
    public var evictions = EvictionReport()

    /// Nothing yet.
    public init() {}

    enum CodingKeys: String, CodingKey {
        case segmentsBytesMax = "segments_bytes_max"
        case runBytesMax = "run_bytes_max"
        case limitBytes = "limit_bytes"
        case segmentsBytesEnd = "segments_bytes_end"
        case pooledBytesEnd = "pooled_bytes_end"
        case compactedBytes = "compacted_bytes"
        case extractedBytes = "extracted_bytes"
        case evictions
    }

    /// Takes the store's figures.
    mutating func note(_ usage: Usage) {
        segmentsBytesMax = UInt64(clamping: usage.residentBytesPeak)
        segmentsBytesEnd = UInt64(clamping: usage.residentBytes)
        pooledBytesEnd = UInt64(clamping: usage.pooledBytes)
    }
}
