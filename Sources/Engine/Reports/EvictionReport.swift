/// How often tables were evicted, and how much memory that set free.
public struct EvictionReport: Codable, Sendable, Equatable {
    /// The figures of one way of eviction.
    public struct Way: Codable, Sendable, Equatable {
        /// How many tables went.
        public var tables = 0
        /// The memory that this set free, in bytes.
        public var bytes: UInt64 = 0

        /// Counts one more table.
        mutating func note(_ bytes: Int) {
            tables += 1
            self.bytes += UInt64(clamping: bytes)
        }

        static func - (left: Way, right: Way) -> Way {
            Way(tables: left.tables - right.tables, bytes: left.bytes - right.bytes)
        }
    }

    /// Dropped, to be made again when they are wanted.
    public var dropped = Way()
    /// Written to disk.
    public var spilled = Way()
    /// Pushed out to swap.
    public var swapped = Way()
    /// Pushed out to swap by a lower limit of their control group.
    public var limited = Way()
    /// Read back from disk into memory, because they could not be lent from there.
    public var restored = Way()

    /// The figures since an earlier report.
    static func - (left: EvictionReport, right: EvictionReport) -> EvictionReport {
        EvictionReport(
            dropped: left.dropped - right.dropped, spilled: left.spilled - right.spilled,
            swapped: left.swapped - right.swapped, limited: left.limited - right.limited,
            restored: left.restored - right.restored)
    }
}
