import Glibc
import System

/// Where the live ranges of a segment have moved to.
public struct Remap: Sendable {
    /// The segment they were in.
    public let from: SegmentID
    /// The segment they are in now.
    public let to: SegmentID
    /// The size of that segment's file, holes included.
    public let bytes: Int
    let old: RangeSet
    let new: [Int]

    /// The new offset of a reference to the old segment; nil when it names bytes that were not live.
    public func offset(of offset: UInt64, length: UInt64) -> UInt64? {
        guard let lower = Int(exactly: offset), let count = Int(exactly: length),
            !lower.addingReportingOverflow(count).overflow, let place = old.index(holding: lower..<lower + count)
        else { return nil }
        return UInt64(new[place] + lower - old.ranges[place].lowerBound)
    }
}

/// What a compaction did.
public struct Compaction: Sendable {
    /// Where everything is now.
    public let remap: Remap
    /// The bytes that were copied: counted as copied, like any other copy.
    public let copiedBytes: Int
}

extension SegmentStore {
    /// A sealed segment is worth rewriting when more than this is dead in it, in bytes…
    public static let compactionDeadBytesMin = 16 << 20
    /// …and less than one part in this many is live.
    public static let compactionLiveShare = 4

    /// The sealed segments of which little is live and which nobody is reading. Others can be punched, and need no copy.
    public func compactable() throws(StoreError) -> [SegmentID] {
        var result: [SegmentID] = []
        let sealed = segments.values.filter { $0.lock == .sealed && $0.phase == .published && $0.place == .memory }
        for segment in sealed {
            if segment.tables.contains(where: { tables[$0]?.readers.isEmpty == false }) { continue }
            let (live, resident) = (segment.named.bytes, try segment.residentBytes())
            if resident - live > Self.compactionDeadBytesMin, live < resident / Self.compactionLiveShare {
                result.append(segment.id)
            }
        }
        return result.sorted()
    }

    /// Rewrites what is live of a segment into a new one, and frees the old one. All or nothing.
    ///
    /// - Parameters:
    ///   - id: one that `compactable` gave.
    ///   - rewrite: makes a table's new descriptor from its old one; it is called for every table that names the segment.
    public func compact(
        _ id: SegmentID, rewrite: (TableID, DescriptorBox, Remap) throws -> DescriptorBox
    ) throws -> Compaction {
        guard let old = segments[id], let reader = old.reader else {
            preconditionFailure("segment \(id) is not published")
        }
        precondition(
            old.tables.allSatisfy { tables[$0]?.readers.isEmpty == true }, "segment \(id) is being read: it can't move")
        let newID = nextSegmentID()
        let (places, size) = Self.place(old.named)
        let remap = Remap(from: id, to: newID, bytes: size, old: old.named, new: places)
        let file = try Segment.makeFile(newID, bytes: size, lock: lock)
        try onSegment(newID, "rewriting segment \(id)") { () throws(SystemError) in
            let end = (places.last ?? 0) + (old.named.ranges.last?.count ?? 0)
            try Segment.collapse(file.descriptor, bytes: end & ~(Machine.hugePageBytes - 1))
            try Segment.copy(old.named, from: reader.descriptor, size: old.bytes, to: file.descriptor, at: places)
        }
        let new = Segment(id: newID, lock: lock, bytes: size, producer: "", model: old.model, file: file)
        new.reader = try new.applyLock()
        if lock == .sealed { new.writer = nil }
        new.phase = .published
        var descriptors: [TableID: DescriptorBox] = [:]
        for table in old.tables {
            guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
            descriptors[table] = try rewrite(table, entry.descriptor, remap)
        }
        // Nothing can fail from here on.
        for (table, descriptor) in descriptors {
            let ranges = tables[table]?.named.removeValue(forKey: id) ?? RangeSet()
            tables[table]?.named[newID] = RangeSet(ranges.ranges.compactMap { remap.range(of: $0) })
            tables[table]?.descriptor = descriptor
        }
        new.tables = old.tables
        new.named = RangeSet(old.named.ranges.compactMap { remap.range(of: $0) })
        segments[newID] = new
        segments[id] = nil
        return Compaction(remap: remap, copiedBytes: old.named.bytes)
    }

    /// Puts ranges close together, each at the alignment (modulo 64 bytes) it had.
    private static func place(_ ranges: RangeSet) -> (places: [Int], size: Int) {
        var end = 0
        let places = ranges.ranges.map { range in
            let place = end + ((range.lowerBound - end) & 63)
            end = place + range.count
            return place
        }
        let huge = Machine.hugePageBytes
        return (places, max(huge, (end + huge - 1) & ~(huge - 1)))
    }
}

extension Remap {
    fileprivate func range(of range: Range<Int>) -> Range<Int>? {
        guard let lower = offset(of: UInt64(range.lowerBound), length: UInt64(range.count)) else { return nil }
        return Int(lower)..<Int(lower) + range.count
    }
}
