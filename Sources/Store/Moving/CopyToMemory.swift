import Glibc
import SIPC
import System

/// The task of copying ranges of some segments together into a new segment in memory.
struct CopyToMemory: Sendable {
    let movers: MovingTables
    let lock: Lock
    let wanted: [SegmentID: RangeSet]
    /// A few words about the task, for errors.
    let task: String

    /// The bytes that are read.
    var bytes: Int { wanted.values.reduce(0) { $0 + $1.bytes } }

    func read() throws(StoreError) -> MoveWork.Made {
        do {
            return try readFiles()
        } catch {
            let place = "\(task), \(bytes) bytes"
            throw (error as? StoreError)
                ?? (error as? SystemError).map { StoreError(.system, nil, place, underlying: $0) }
                ?? StoreError(.unsuitable, nil, "\(place): \(error)")
        }
    }

    private func readFiles() throws -> MoveWork.Made {
        HoldPoint.gather.pass()
        let begin = MonotonicClock.nanoseconds()
        let placements = places()
        let huge = Machine.hugePageBytes
        let end = placements.last.map { $0.offset + $0.range.count } ?? 0
        let size = max(huge, (end + huge - 1) & ~(huge - 1))
        let file = try Segment.makeFile(movers.newID, bytes: size, lock: lock)
        try Segment.collapse(file.descriptor, bytes: end & ~(huge - 1))
        try copy(placements, to: file)
        let reader = try Segment.lock(file, lock)
        let new = SegmentEntry(id: movers.newID.rawValue, bytes: UInt64(size))
        let relocation = OffsetMap(placements)
        var tables = try movers.rewriteOthers(relocation, to: new)
        let moved = try movers.descriptor().relocated(to: new) { relocation.offset(of: $1, in: $0) }
        guard let moved else { preconditionFailure("a table that moves names nothing of what moves") }
        tables[movers.table] = try RewrittenDescriptor(movers.box, bytes: moved)
        let segment = NewSegment(
            id: movers.newID, bytes: size, place: .memory, writer: file, reader: reader, tables: tables)
        let figures = MoveFigures(bytes: bytes, nanoseconds: MonotonicClock.nanoseconds() - begin)
        return MoveWork.Made(segment: segment, figures: figures)
    }

    /// Puts the ranges close together, each at the alignment that it had.
    private func places() -> [Placement] {
        var placements: [Placement] = []
        var end = 0
        for segment in wanted.keys.sorted() {
            for range in wanted[segment]?.ranges ?? [] {
                end += (range.lowerBound - end) & (Container.alignment - 1)
                placements.append(Placement(segment: segment.rawValue, range: range, offset: end))
                end += range.count
            }
        }
        return placements
    }

    /// How many bytes are read at once.
    private static let windowBytes = 4 << 20

    /// Copies through the descriptors, because memory that runs out is an error there, and a SIGBUS in a mapping.
    private func copy(_ placements: [Placement], to file: DescriptorBox) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.windowBytes, alignment: Machine.pageBytes)
        defer { buffer.deallocate() }
        let files = movers.files.all
        for placement in placements {
            guard let from = files.first(where: { $0.id.rawValue == placement.segment })?.file else {
                preconditionFailure("a table names a segment it was not given")
            }
            for start in stride(from: placement.range.lowerBound, to: placement.range.upperBound, by: buffer.count) {
                let count = min(buffer.count, placement.range.upperBound - start)
                // The disk reads the next window while this one is copied.
                try from.descriptor.readAhead(start..<min(start + 2 * buffer.count, placement.range.upperBound))
                let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
                try from.descriptor.readAll(part, at: start)
                let place = placement.offset + start - placement.range.lowerBound
                try file.descriptor.writeAll(UnsafeRawBufferPointer(part), at: place)
                // The page cache's copy is no longer needed: the bytes are in the new file.
                try from.descriptor.dropCache(start & ~(Machine.pageBytes - 1)..<start + count)
            }
        }
    }
}
