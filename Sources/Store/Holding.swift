import System

/// What one table holds, and what can be done about it.
public struct Holding: Sendable, Equatable {
    /// The table.
    public let table: TableID
    /// The bytes it names, wherever they are, each once.
    public var namedBytes = 0
    /// The memory, in RAM and swap, that is free when this table alone goes, in bytes.
    public var exclusiveBytes = 0
    /// The memory that is free when it is spilled, in bytes: other tables that name its bytes and that nobody reads move along.
    public var spillableBytes = 0
    /// What of its exclusive bytes is in RAM, as far as the store knows: what was swapped by the kernel, or has come back in
    /// since nobody was lent it, is not.
    public var residentBytes = 0
    /// The bytes it names on a disk.
    public var diskBytes = 0
    /// Nobody reads it, and it isn't on its way to a disk or back: it can be swapped.
    public var isIdle = false
    /// It is idle, in memory, and can be a file.
    public var canSpill = false
    /// It has to be read back before it can be lent.
    public var mustRestore = false
}

/// Who names what of a segment alone.
struct Sharing {
    /// Pages that one table names, by table: those are free when it goes, where a segment can be punched.
    var exclusive: [TableID: RangeSet] = [:]
}

extension SegmentStore {
    /// What each table holds, in the order of their numbers.
    ///
    /// It asks the kernel for the size of each segment, and looks anew at those segments only whose tables have changed: cheap enough
    /// to be called on every change.
    public func holdings() throws(StoreError) -> [Holding] {
        var resident: [SegmentID: Int] = [:]
        for segment in segments.values { resident[segment.id] = try segment.residentBytes() }
        return tables.keys.sorted().map { holding($0, resident) }
    }

    private func holding(_ id: TableID, _ resident: [SegmentID: Int]) -> Holding {
        var holding = Holding(table: id)
        guard let table = tables[id] else { preconditionFailure("table \(id) is gone") }
        for (place, ranges) in table.named {
            guard let segment = segments[place] else { preconditionFailure("segment \(place) is gone") }
            holding.namedBytes += ranges.bytes
            if segment.place == .disk {
                holding.diskBytes += ranges.bytes
                continue
            }
            let all = resident[place] ?? 0
            let exclusive = exclusiveBytes(of: id, in: segment, all)
            holding.exclusiveBytes += exclusive
            holding.spillableBytes += spillableBytes(of: id, in: segment, all)
            holding.residentBytes += max(0, min(exclusive, all - segment.swappedBytes))
        }
        holding.isIdle = table.readers.isEmpty
        holding.canSpill =
            holding.isIdle && !table.isUnspillable && holding.namedBytes > holding.diskBytes
        holding.mustRestore = lock == .sealed && holding.diskBytes > 0
        return holding
    }

    /// The bytes of pages that only this table names: what its release sets free, where segments can be punched.
    public func exclusiveBytes(of table: TableID) -> Int {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        var bytes = 0
        for id in entry.named.keys { bytes += sharing(of: id).exclusive[table]?.bytes ?? 0 }
        return bytes
    }

    /// The pages of a segment that one table names alone.
    func sharing(of id: SegmentID) -> Sharing {
        guard let segment = segments[id] else { preconditionFailure("segment \(id) is gone") }
        if let known = segment.sharing { return known }
        var pages: [TableID: RangeSet] = [:]
        for table in segment.tables { pages[table] = (tables[table]?.named[id] ?? RangeSet()).inWholePages() }
        var (once, twice) = (RangeSet(), RangeSet())
        for ranges in pages.values {
            twice = twice.union(once.intersection(ranges))
            once = once.union(ranges)
        }
        let result = Sharing(exclusive: pages.mapValues { $0.subtracting(twice) })
        segment.sharing = result
        return result
    }

    /// A sealed segment is freed as a whole, or when so little of it is left that it is rewritten.
    private func exclusiveBytes(of table: TableID, in segment: Segment, _ resident: Int) -> Int {
        if segment.tables.count == 1 { return resident }
        let sharing = sharing(of: segment.id)
        let bytes = sharing.exclusive[table]?.bytes ?? 0
        if lock == .readOnlyDescriptor { return min(resident, bytes) }
        return Self.freedByCompaction(resident: resident, live: segment.named.bytes - bytes)
    }

    private func spillableBytes(of table: TableID, in segment: Segment, _ resident: Int) -> Int {
        if segment.tables.count == 1 { return resident }
        var stays = RangeSet()
        for other in segment.tables where other != table && tables[other]?.readers.isEmpty == false {
            stays = stays.union(tables[other]?.named[segment.id] ?? RangeSet())
        }
        let own = tables[table]?.named[segment.id] ?? RangeSet()
        let moved = own.subtracting(stays)
        if moved == segment.named { return resident }
        let bytes = own.inWholePages().subtracting(stays.inWholePages()).bytes
        if lock == .readOnlyDescriptor { return min(resident, bytes) }
        return Self.freedByCompaction(resident: resident, live: segment.named.subtracting(moved).bytes)
    }

    /// What the rewriting of a sealed segment frees, if it is worth it.
    private static func freedByCompaction(resident: Int, live: Int) -> Int {
        let isWorthIt = resident - live > compactionDeadBytesMin && live < resident / compactionLiveShare
        return isWorthIt ? resident - live : 0
    }
}
