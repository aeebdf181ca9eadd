import CArrow
import Glibc
import System

/// How the bytes of a published table travelled: each in exactly one way, and counted once however often it is named.
public struct PublishCounts: Sendable, Equatable {
    /// Rows of the table.
    public var rows: UInt64 = 0
    /// Record batches of the table.
    public var batches: UInt64 = 0
    /// All bytes that the table names: the sum of the five below.
    public var bytes: UInt64 = 0
    /// In a segment that was an input.
    public var resharedBytes: UInt64 = 0
    /// In the output segment already: born there, in its arena, or put there with another table.
    public var bornSharedBytes: UInt64 = 0
    /// Moved into a segment without a copy.
    public var deanonymizedBytes: UInt64 = 0
    /// In small buffers, put together in the output segment.
    public var packedBytes: UInt64 = 0
    /// Copied into the output segment.
    public var copiedBytes: UInt64 = 0
}

/// Publishes tables: gives each of their buffers a place in a segment, without a copy where it can be had.
public struct Publisher {
    /// Buffers that are smaller, also together with their neighbours, are packed rather than moved: splitting a mapping for them
    /// costs more than a copy (`docs/kernelzero.md` has the figures).
    public static let packedBytesMax = 64 * 1024

    /// A way of sharing memory where it lies, or of moving it without a copy.
    public struct Way {
        /// Takes a range of this process's memory and returns its place in a segment, if it has one. A range may hold several
        /// buffers that overlap.
        public let place: (UnsafeRawBufferPointer) throws(SIPCError) -> (segment: SegmentEntry, offset: UInt64)?
        /// The counter its bytes go to.
        public let counter: WritableKeyPath<PublishCounts, UInt64>

        /// A way of sharing by a function that finds or makes a place, and the counter its bytes go to.
        public init(
            counter: WritableKeyPath<PublishCounts, UInt64>,
            _ place: @escaping (UnsafeRawBufferPointer) throws(SIPCError) -> (segment: SegmentEntry, offset: UInt64)?
        ) {
            self.counter = counter
            self.place = place
        }
    }

    /// Moves memory into the output segment without a copy, all ranges in one call.
    public typealias Mover = ([UnsafeRawBufferPointer]) -> Moved

    /// The outcome of a move.
    public struct Moved {
        /// Where the first byte of each range is in the output segment; nil if the range was not moved and has to be copied.
        public var offsets: [UInt64?]
        /// The bytes of ranges that moved, less the bytes that had to be copied on the way.
        public var movedBytes: UInt64
        /// The bytes that were copied on the way in ranges that moved: parts of pages, as a rule.
        public var copiedBytes: UInt64
        /// The size of the output segment now.
        public var segmentBytes: UInt64

        /// The outcome of a move.
        public init(offsets: [UInt64?], movedBytes: UInt64, copiedBytes: UInt64, segmentBytes: UInt64) {
            self.offsets = offsets
            self.movedBytes = movedBytes
            self.copiedBytes = copiedBytes
            self.segmentBytes = segmentBytes
        }
    }

    /// Asked about every buffer, in this order.
    private let ways: [Way]
    /// Asked about all buffers that are left and not small, before they are copied.
    private let mover: Mover?
    private let output: SegmentEntry
    private let take: (Int) throws(SIPCError) -> (UnsafeMutableRawPointer, offset: UInt64)

    /// - Parameters:
    ///   - inputs: segments whose memory is reshared.
    ///   - ways: asked next about every buffer, in their order.
    ///   - mover: asked about all buffers that are left and not small, together, before they are copied.
    ///   - output: the segment that packed and copied buffers go to.
    ///   - take: gives zeroed, 64-byte-aligned room of so many bytes in the output segment, and its offset there.
    public init(
        inputs: [MappedSegment], ways: [Way], mover: Mover? = nil, output: SegmentEntry,
        take: @escaping (Int) throws(SIPCError) -> (UnsafeMutableRawPointer, offset: UInt64)
    ) {
        let map = SegmentMap(inputs)
        let reshare = Way(counter: \.resharedBytes) { (bytes) throws(SIPCError) in
            let extent = Extent(address: UInt(bitPattern: bytes.baseAddress), bytes: bytes.count)
            guard let (segment, offset) = map.locate(extent) else { return nil }
            return (SegmentEntry(id: segment.id, bytes: UInt64(segment.bytes)), offset)
        }
        self.ways = [reshare] + ways
        self.mover = mover
        self.output = output
        self.take = take
    }

    /// Keeps the arrays of a published table from being released.
    ///
    /// An allocator writes into memory that it is given back, so buffers that a descriptor refers to must stay allocated until no
    /// code of this process runs any more.
    public final class Kept {
        private let batches: [OwnedArray]
        private let made: MadeMemory
        /// The ranges of memory that were moved or copied into the output segment, with their offsets there. They may be found
        /// there again.
        public fileprivate(set) var places: [(memory: UnsafeRawBufferPointer, offset: UInt64)] = []

        init(_ batches: [OwnedArray], _ made: MadeMemory) {
            self.batches = batches
            self.made = made
        }

        /// Keeps the arrays until the process ends, even when this object is released.
        ///
        /// Memory that was moved belongs to a file: if its allocator dropped pages of it, the next owner would find published
        /// bytes there, and no zeros.
        func keepForEver() { _ = Unmanaged.passRetained(self) }
    }

    /// Reads a stream to its end and publishes its batches. The stream is moved from `source` and released. Returns the
    /// descriptor, and the object that holds the table's memory: the caller keeps it for as long as the descriptor is to be true.
    ///
    /// - Parameter isRead: called when the stream has been read.
    public func publish(
        _ source: UnsafeMutablePointer<ArrowArrayStream>, isRead: () -> Void = {}
    ) throws(SIPCError) -> (descriptor: [UInt8], counts: PublishCounts, kept: Kept) {
        let stream = try OwnedStream(moving: source)
        let schema = try stream.schema()
        var collector = Collector(schema)
        // Until every buffer has its place, no array may be freed: an address must not come to mean two buffers.
        var batches: [OwnedArray] = []
        while let batch = try stream.next() {
            try collector.append(batch.raw)
            batches.append(batch)
        }
        try narrow(&collector, schema, batches)
        isRead()
        let kept = Kept(batches, collector.made)
        return try withExtendedLifetime(kept) { () throws(SIPCError) in
            var counts = PublishCounts()
            let (segments, references) = try place(collector.extents, kept, &counts)
            counts.rows = collector.builder.rows
            counts.batches = collector.builder.batches
            return (collector.builder.finish(segments: segments, references: references), counts, kept)
        }
    }

    // MARK: - Narrowing

    /// A column that narrowing could save less than this is left as it is.
    private static let slackBytesMin = 1024
    /// Sharing less memory is worth making buffers anew from so many bytes on, …
    private static let sharedBytesMin = 64 * 1024
    /// …and where the new buffers take no more than one part in so many of it.
    private static let madeShare = 16

    /// All views are read, to see what they name, if their data has on average so many bytes or more for each.
    private static let viewBytesMin = 64

    /// The memory that a column takes, in bytes.
    private struct Weight {
        var shared = 0
        var copied = 0
        var made = 0
    }

    /// Collects the table again if columns refer to much more than their rows name, and narrows these columns.
    ///
    /// A column is narrowed as a whole or not, because batches that are slices of one buffer name all of it together.
    private func narrow(
        _ collector: inout Collector, _ schema: Schema, _ batches: [OwnedArray]
    ) throws(SIPCError) {
        let loose = Set(schema.fields.indices.filter { collector.slack[$0] >= Self.slackBytesMin })
            .union(collector.viewColumns)
        if loose.isEmpty { return }
        let before = try weights(of: loose, in: collector)
        let rows = Int(clamping: collector.builder.rows)
        let candidates = loose.filter { column in
            let (weight, total) = (before[column]?.weight ?? Weight(), before[column]?.namedBytes ?? 0)
            let bytes = weight.shared + weight.copied
            // Reading the views is worth it if they are few for their data, or if some of the data is copied.
            if collector.viewColumns.contains(column), rows <= bytes / Self.viewBytesMin || weight.copied > 0 {
                return bytes >= Self.slackBytesMin
            }
            // Several batches have about as much each as is left without the slack, and may well need all together.
            let needed = batches.count == 1 ? 0 : total - min(total, collector.slack[column])
            return collector.slack[column] >= Self.slackBytesMin && bytes - needed >= Self.slackBytesMin
        }
        if candidates.isEmpty { return }
        let full = try collect(schema, batches) { candidates.contains($0) ? .full : .none }
        let after = try weights(of: candidates, in: full)
        var worth: Set<Int> = []
        var free: Set<Int> = []
        for column in candidates {
            guard let old = before[column]?.weight, let new = after[column]?.weight else { continue }
            let saved = old.shared + old.copied - new.shared - new.copied
            let isLess = new.made <= old.copied - new.copied
            if saved > 0, isLess || (saved >= Self.sharedBytesMin && new.made <= saved / Self.madeShare) {
                worth.insert(column)
            } else if saved > 0 {
                free.insert(column)
            }
        }
        if worth == candidates {
            collector = try isLess(full, collector, candidates) ? full : collector
        } else if !worth.isEmpty || !free.isEmpty {
            let mixed = try collect(schema, batches) { worth.contains($0) ? .full : free.contains($0) ? .free : .none }
            collector = try isLess(mixed, collector, candidates) ? mixed : collector
        }
    }

    /// Whether one collection takes less memory than another: several columns may be slices of one buffer, too.
    private func isLess(_ new: Collector, _ old: Collector, _ columns: Set<Int>) throws(SIPCError) -> Bool {
        func bytes(_ collector: Collector) -> Int {
            let own = zip(collector.extents, collector.columns).filter { columns.contains($0.1) }.map(\.0)
            return Self.groups(own).groups.reduce(0) { $0 + $1.bytes }
        }
        return bytes(new) < bytes(old)
    }

    private func collect(
        _ schema: Schema, _ batches: [OwnedArray], _ narrowing: @escaping (Int) -> Narrowing
    ) throws(SIPCError) -> Collector {
        var collector = Collector(schema, narrowing: narrowing)
        for batch in batches { try collector.append(batch.raw) }
        return collector
    }

    /// The memory that columns take, and the sum of their buffers' bytes, each counted as often as it is named.
    private func weights(
        of columns: Set<Int>, in collector: Collector
    ) throws(SIPCError) -> [Int: (weight: Weight, namedBytes: Int)] {
        var extents: [Int: [Extent]] = [:]
        for (extent, column) in zip(collector.extents, collector.columns) where columns.contains(column) {
            extents[column, default: []].append(extent)
        }
        var result: [Int: (weight: Weight, namedBytes: Int)] = [:]
        for (column, extents) in extents {
            var weight = Weight()
            let (order, groups) = Self.groups(extents)
            for group in groups {
                if extents[order[group.members.lowerBound]].isMade {
                    weight.made += group.bytes
                } else if try find(group, ways) != nil || (mover != nil && group.bytes >= Self.packedBytesMax) {
                    weight.shared += group.bytes
                } else {
                    weight.copied += group.bytes
                }
            }
            result[column] = (weight, extents.reduce(0) { $0 + $1.bytes })
        }
        return result
    }

    // MARK: - Placing

    /// Extents that overlap, and therefore have to stay together.
    private struct Group {
        let address: UInt
        var bytes: Int
        /// Where its members lie in the order of addresses.
        var members: Range<Int>

        var memory: UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address), count: bytes)
        }
    }

    private func place(
        _ extents: [Extent], _ kept: Kept, _ counts: inout PublishCounts
    ) throws(SIPCError) -> ([SegmentEntry], [Reference]) {
        let (order, groups) = Self.groups(extents)
        var table = SegmentTable()
        var references = [Reference](repeating: .empty, count: extents.count)
        func refer(_ group: Group, _ segment: SegmentEntry, _ offset: UInt64) {
            let index = table.index(of: segment)
            for member in order[group.members] {
                let extent = extents[member]
                references[member] = Reference(
                    segment: index, offset: offset + UInt64(extent.address - group.address),
                    length: UInt64(extent.bytes))
            }
        }
        var rest: [Group] = []
        for group in groups {
            counts.bytes += UInt64(group.bytes)
            if let (place, counter) = try find(group, ways) {
                counts[keyPath: counter] += UInt64(group.bytes)
                refer(group, place.segment, place.offset)
            } else {
                rest.append(group)
            }
        }
        var output = self.output
        for (group, offset) in move(&rest, &output, kept, &counts) {
            refer(group, output, offset)
            kept.places.append((group.memory, offset))
        }
        for (group, offset) in try copy(rest) {
            let isSmall = group.bytes < Self.packedBytesMax
            counts[keyPath: isSmall ? \PublishCounts.packedBytes : \PublishCounts.copiedBytes] += UInt64(group.bytes)
            refer(group, output, offset)
            kept.places.append((group.memory, offset))
        }
        return (table.segments, references)
    }

    private func find(
        _ group: Group, _ ways: [Way]
    ) throws(SIPCError) -> (
        place: (segment: SegmentEntry, offset: UInt64), counter: WritableKeyPath<PublishCounts, UInt64>
    )? {
        for way in ways {
            if let place = try way.place(group.memory) { return (place, way.counter) }
        }
        return nil
    }

    /// Moves the groups that aren't small and can be moved, and takes them out of `groups`. The output segment may grow by them.
    private func move(
        _ groups: inout [Group], _ output: inout SegmentEntry, _ kept: Kept, _ counts: inout PublishCounts
    ) -> [(Group, offset: UInt64)] {
        guard let mover else { return [] }
        var large: [Group] = []
        var rest: [Group] = []
        for span in MemorySpan.join(groups.map(\.memory)) {
            if span.bytes.count >= Self.packedBytesMax {
                large += groups[span.members]
            } else {
                rest += groups[span.members]
            }
        }
        if large.isEmpty { return [] }
        let moved = mover(large.map(\.memory))
        var placed: [(Group, offset: UInt64)] = []
        for (group, offset) in zip(large, moved.offsets) {
            if let offset { placed.append((group, offset)) } else { rest.append(group) }
        }
        if placed.isEmpty { return [] }
        kept.keepForEver()
        groups = rest
        output = SegmentEntry(id: output.id, bytes: moved.segmentBytes)
        counts.deanonymizedBytes += moved.movedBytes
        counts.copiedBytes += moved.copiedBytes
        return placed
    }

    /// Sorts the extents that are not empty by address, and joins those that overlap.
    private static func groups(_ extents: [Extent]) -> (order: [Int], groups: [Group]) {
        let order = extents.indices.filter { extents[$0].bytes > 0 }.sorted {
            extents[$0].address < extents[$1].address
        }
        var groups: [Group] = []
        for (position, index) in order.enumerated() {
            let extent = extents[index]
            let last = groups.count - 1
            if last >= 0, extent.address < groups[last].address + UInt(groups[last].bytes) {
                groups[last].bytes = max(groups[last].bytes, Int(extent.address - groups[last].address) + extent.bytes)
                groups[last].members = groups[last].members.lowerBound..<(position + 1)
            } else {
                groups.append(Group(address: extent.address, bytes: extent.bytes, members: position..<(position + 1)))
            }
        }
        return (order, groups)
    }

    /// Copies the remaining groups into the output segment, each byte as aligned to 64 as it was.
    private func copy(_ groups: [Group]) throws(SIPCError) -> [(Group, offset: UInt64)] {
        if groups.isEmpty { return [] }
        let alignment = UInt(Container.alignment)
        var end: UInt = 0
        var starts: [UInt] = []
        for group in groups {
            let start = end + (group.address &- end) % alignment
            starts.append(start)
            end = start + UInt(group.bytes)
        }
        let (room, offset) = try take(Int(end))
        var placed: [(Group, offset: UInt64)] = []
        for (group, start) in zip(groups, starts) {
            (room + Int(start)).copyMemory(from: UnsafeRawPointer(bitPattern: group.address)!, byteCount: group.bytes)
            placed.append((group, offset + UInt64(start)))
        }
        return placed
    }
}

/// The segments that a descriptor names, in the order of their first use.
struct SegmentTable {
    private(set) var segments: [SegmentEntry] = []
    private var indexes: [UInt64: UInt32] = [:]

    mutating func index(of segment: SegmentEntry) -> UInt32 {
        if let index = indexes[segment.id] {
            // Memory that was moved into a segment has made it longer.
            let bytes = max(segments[Int(index)].bytes, segment.bytes)
            segments[Int(index)] = SegmentEntry(id: segment.id, bytes: bytes)
            return index
        }
        let index = UInt32(segments.count)
        segments.append(segment)
        indexes[segment.id] = index
        return index
    }
}
