import System

/// How much memory the store holds, and for what.
public struct Usage: Sendable, Equatable {
    /// Bytes that tables name; each byte once.
    public var namedBytes = 0
    /// Memory of published segments and of outputs being written, in RAM and in swap.
    public var residentBytes = 0
    /// The part of `residentBytes` that is known to be in swap only.
    public var swappedBytes = 0
    /// The bytes of tables that are on a disk instead of in memory.
    public var spilledBytes = 0
    /// Memory kept for future outputs.
    public var pooledBytes = 0
    /// The largest sum of `residentBytes` and `pooledBytes` that was seen, at a call of `usage` or while a table was published.
    public var residentBytesPeak = 0
    /// How many segments there are, the pool left out.
    public var segments = 0
    /// How many tables there are.
    public var tables = 0
}

extension SegmentStore {
    /// The usage now. It asks the kernel about each segment.
    public func usage() throws(StoreError) -> Usage {
        var usage = Usage()
        for segment in segments.values {
            usage.namedBytes += segment.named.bytes
            usage.swappedBytes += segment.swappedBytes
            let bytes = try segment.allocatedBytes()
            if segment.place == .memory { usage.residentBytes += bytes } else { usage.spilledBytes += bytes }
        }
        usage.pooledBytes = pool.residentBytes
        residentBytesPeak = max(residentBytesPeak, usage.residentBytes + usage.pooledBytes)
        usage.residentBytesPeak = residentBytesPeak
        usage.segments = segments.count
        usage.tables = tables.count
        return usage
    }

    /// Memory kept for future outputs, in bytes.
    public var pooledBytes: Int { pool.residentBytes }

    /// Starts a new measurement of the peak.
    public func restartPeak() { residentBytesPeak = 0 }

    /// Takes the peak just before a trim, when an output is at its largest. Of many segments that isn't done each time, as the kernel is asked
    /// about each: what is published costs the same however much is held.
    func noteResidentPeak() {
        unmeasured += 1
        guard unmeasured * Self.segmentsMeasuredMax >= segments.count else { return }
        unmeasured = 0
        // The peak is a figure for people: if it can't be measured, publishing goes on.
        _ = try? usage()
    }

    /// How many segments are measured for each table that is published, on average.
    private static let segmentsMeasuredMax = 64

    /// The bytes a table names, each once.
    public func namedBytes(of table: TableID) -> Int {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        return entry.named.values.reduce(0) { $0 + $1.bytes }
    }

    /// The bytes that a table names and no older one does: over all tables, each byte once.
    ///
    /// - Parameter inMemory: whether only bytes in memory count, and none on a disk.
    public func chargedBytes(of table: TableID, inMemory: Bool) -> Int {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        let ids = entry.named.keys.filter { !inMemory || segments[$0]?.place == .memory }
        return ids.reduce(0) { $0 + (segments[$1]?.sharing.chargedBytes[table] ?? 0) }
    }

    /// Whether a worker may be reading the table, or it is being moved.
    public func isRead(_ table: TableID) -> Bool { tables[table]?.readers.isEmpty == false }
}
