import SIPC
import Synchronization
import System

/// Ranges of segments that have a second place, in a new segment.
struct OffsetMap: Sendable {
    private struct Entry {
        let range: Range<Int>
        let offset: Int
    }

    private var entries: [UInt64: [Entry]] = [:]

    /// Takes the ranges and their new places. Ranges may overlap; if one contains another, the larger one counts.
    init(_ placements: [Placement]) {
        var all: [UInt64: [Entry]] = [:]
        for placement in placements {
            all[placement.segment, default: []].append(Entry(range: placement.range, offset: placement.offset))
        }
        for (segment, list) in all {
            let sorted = list.sorted {
                ($0.range.lowerBound, $1.range.upperBound) < ($1.range.lowerBound, $0.range.upperBound)
            }
            var kept: [Entry] = []
            for entry in sorted where entry.range.upperBound > kept.last?.range.upperBound ?? -1 { kept.append(entry) }
            entries[segment] = kept
        }
    }

    /// Where a buffer is now; nil when it isn't wholly in one range, or would be aligned less well than types ask for.
    func offset(of reference: Reference, in segment: UInt64) -> UInt64? {
        guard let list = entries[segment] else { return nil }
        let lower = Int(reference.offset)
        // Both bounds ascend, so the last range that begins early enough is also the one that reaches furthest.
        var (low, high) = (0, list.count)
        while low < high {
            let middle = (low + high) / 2
            if list[middle].range.lowerBound <= lower { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let entry = list[low - 1]
        guard lower + Int(reference.length) <= entry.range.upperBound else { return nil }
        let place = entry.offset + lower - entry.range.lowerBound
        let alignment = min(Self.alignmentMax, lower == 0 ? Self.alignmentMax : lower & -lower)
        return place % alignment == 0 ? UInt64(place) : nil
    }

    /// No type needs its values aligned to more bytes than this.
    private static let alignmentMax = 16
}

/// A table's new descriptor, and the ranges it names.
struct RewrittenDescriptor: Sendable {
    /// The descriptor that it was made from: if the table has another one by now, the new one is void.
    let old: DescriptorBox
    let new: DescriptorBox
    let named: [SegmentID: RangeSet]

    /// A sealed descriptor from its bytes.
    init(_ old: DescriptorBox, bytes: [UInt8]) throws {
        self.old = old
        named = Self.named(by: try Descriptor(bytes))
        new = DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", bytes))
    }

    /// The ranges that a descriptor names, by segment.
    static func named(by descriptor: Descriptor) -> [SegmentID: RangeSet] {
        var ranges = [[Range<Int>]](repeating: [], count: descriptor.segments.count)
        descriptor.forEachReference { reference in
            let lower = Int(reference.offset)
            ranges[Int(reference.segment)].append(lower..<lower + Int(reference.length))
        }
        var named: [SegmentID: RangeSet] = [:]
        for (segment, list) in zip(descriptor.segments, ranges) {
            named[SegmentID(rawValue: segment.id)] = RangeSet(list)
        }
        return named
    }
}

/// Files of segments that somebody outside the store needs: their memory stays until `letGo`.
final class PinnedFiles: Sendable {
    private let files: Mutex<[(id: SegmentID, file: DescriptorBox)]>

    init(_ files: [(id: SegmentID, file: DescriptorBox)]) { self.files = Mutex(files) }

    /// The files that are still held.
    var all: [(id: SegmentID, file: DescriptorBox)] { files.withLock { $0 } }

    /// Lets go of all files.
    func letGo() {
        let last = files.withLock { files in
            defer { files = [] }
            return files
        }
        // The files are closed here, not under the lock, because freeing their memory takes a while.
        _ = last
    }
}

/// A table that is being moved to a new segment, and the others that may move with it. Made on the engine's thread, used on another;
/// descriptors are decoded there only, as they may be large.
struct MovingTables: Sendable {
    let table: TableID
    /// A fictitious reader that keeps the table's bytes in place during the move. Nil for a compaction: a sealed segment can't be
    /// punched.
    let pin: BorrowerID?
    let box: DescriptorBox
    /// What is read of what the table names.
    let files: PinnedFiles
    /// Tables that nobody reads and that name bytes of the same segments.
    let others: [(table: TableID, box: DescriptorBox)]
    /// The number of the new segment.
    let newID: SegmentID

    /// Decodes the table's descriptor.
    func descriptor() throws -> Descriptor { try Descriptor(reading: box) }

    /// Maps what the table names.
    func map() throws(SystemError) -> [MappedSegment] {
        var mapped: [MappedSegment] = []
        for segment in files.all {
            mapped.append(try MappedSegment(id: segment.id.rawValue, segment.file.descriptor))
        }
        return mapped
    }

    /// The new descriptors of those other tables of which bytes have moved.
    func rewriteOthers(_ relocation: OffsetMap, to new: SegmentEntry) throws -> [TableID: RewrittenDescriptor] {
        var result: [TableID: RewrittenDescriptor] = [:]
        for (table, box) in others {
            let descriptor = try Descriptor(reading: box)
            let bytes = descriptor.relocated(to: new) { segment, reference in
                relocation.offset(of: reference, in: segment)
            }
            if let bytes { result[table] = try RewrittenDescriptor(box, bytes: bytes) }
        }
        return result
    }
}

/// A segment that has been made beside the store, and the tables that will name it.
struct NewSegment: Sendable {
    let id: SegmentID
    let bytes: Int
    let place: Place
    let writer: DescriptorBox
    let reader: DescriptorBox
    let tables: [TableID: RewrittenDescriptor]
}

extension Descriptor {
    /// Reads a descriptor from the file it travels in.
    public init(reading box: DescriptorBox) throws {
        try self.init(try box.descriptor.bytes(0..<(try box.descriptor.status().bytes)))
    }
}

extension SegmentStore {
    /// Pins a table that is to be moved: until `unpin`, its bytes stay where they are, whoever releases what.
    func pin(_ table: TableID, _ purpose: String) -> MovingTables {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        let pin = BorrowerID(rawValue: "\(purpose) \(nextSegmentID())")
        let movers = movers(of: table, files: entry.named.keys.sorted(), pin: pin)
        tables[table]?.readers.insert(pin)
        changedTables.insert(table)
        return movers
    }

    /// A table that is to leave some of the segments that it names, and the others that may move with it.
    func movers(of table: TableID, files ids: [SegmentID], pin: BorrowerID?) -> MovingTables {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        var others: Set<TableID> = []
        var files: [(id: SegmentID, file: DescriptorBox)] = []
        for id in ids {
            guard let segment = segments[id], let file = segment.reader else {
                preconditionFailure("segment \(id) is not published")
            }
            files.append((id, file))
            others.formUnion(segment.tables)
        }
        others.remove(table)
        let idle = others.sorted().filter { tables[$0]?.readers.isEmpty == true }
        return MovingTables(
            table: table, pin: pin, box: entry.descriptor, files: PinnedFiles(files),
            others: idle.compactMap { id in tables[id].map { (id, $0.descriptor) } }, newID: nextSegmentID())
    }

    /// Takes the pin away.
    ///
    /// - Returns: whether the table is unchanged and nobody reads it: only then may it move.
    func unpin(_ movers: MovingTables) throws(StoreError) -> Bool {
        if let pin = movers.pin { tables[movers.table]?.readers.remove(pin) }
        changedTables.insert(movers.table)
        try dropUnneeded([movers.table])
        guard let entry = tables[movers.table] else { return false }
        return entry.readers.isEmpty && entry.descriptor === movers.box
    }

    /// Takes in a new segment, and has the tables that are unchanged name it. Memory that no table names any more is freed, not
    /// kept for later outputs.
    ///
    /// - Returns: the memory that is free now, in bytes, and how many tables were rewritten.
    func install(_ new: NewSegment) -> (freedBytes: Int, tables: Int) {
        let segment = Segment(id: new.id, lock: lock, bytes: new.bytes, producer: "", model: "", file: new.writer)
        segment.reader = new.reader
        segment.place = new.place
        // A sealed file can't be written or punched by anybody, so its writable descriptor is of no use.
        if lock == .sealed, new.place == .memory { segment.writer = nil }
        segment.phase = .published
        segments[new.id] = segment
        let current = current(new)
        let affected = Set(current.keys.flatMap { tables[$0].map { Array($0.named.keys) } ?? [] })
        for (table, rewritten) in current {
            for (id, ranges) in tables[table]?.named ?? [:] {
                if let segment = segments[id] { remove(table, naming: ranges, from: segment) }
            }
            for (id, ranges) in rewritten.named {
                if let segment = segments[id] { add(table, naming: ranges, to: segment) }
            }
            tables[table]?.descriptor = rewritten.new
            tables[table]?.named = rewritten.named
        }
        if segment.tables.isEmpty { drop(segment) }
        // What can't be punched now is owed, and goes with the next release on the segment.
        let freed = affected.sorted().reduce(0) { sum, id in
            sum + (segments[id].flatMap { try? giveBack($0, keepsForLater: false) } ?? 0)
        }
        return (freed, current.count)
    }

    /// The tables of a new segment that are unchanged and that nobody reads.
    func current(_ new: NewSegment) -> [TableID: RewrittenDescriptor] {
        new.tables.filter { table, rewritten in
            tables[table].map { $0.readers.isEmpty && $0.descriptor === rewritten.old } ?? false
        }
    }
}
