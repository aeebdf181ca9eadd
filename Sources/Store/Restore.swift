import Glibc
import SIPC
import Synchronization
import System

/// What reading a table back into memory did.
public struct RestoreFigures: Sendable, Equatable {
    /// What was read, in bytes.
    public var bytes = 0
    /// How long it took, in nanoseconds.
    public var nanoseconds: UInt64 = 0
    /// Tables that are in memory now, the restored one included.
    public var tables = 0

    /// How fast it was read, in bytes per second.
    public var bytesPerSecond: Double { nanoseconds == 0 ? 0 : Double(bytes) * 1e9 / Double(nanoseconds) }
}

/// How reading back ended.
public enum RestoreOutcome: Sendable {
    /// The table is in memory.
    case restored(RestoreFigures)
    /// Somebody got the table meanwhile, or nobody needs it any more: it is where it was, or gone.
    case superseded
    /// It could not be read; the table is where it was.
    case failed(StoreError)
}

/// A table on its way back from a disk: what a thread of its own needs to read it. It uses nothing of the store.
public final class RestoreWork: Sendable {
    /// The table.
    public let table: TableID
    /// The memory that it will take, in bytes.
    public let bytes: Int

    let movers: Movers
    private let lock: Lock
    private let wanted: [SegmentID: RangeSet]
    private let result = Mutex<Result<Read, StoreError>?>(nil)

    /// What was read.
    struct Read: Sendable {
        let segment: NewSegment
        var figures: RestoreFigures
    }

    init(_ movers: Movers, _ wanted: [SegmentID: RangeSet], _ lock: Lock) {
        self.movers = movers
        self.wanted = wanted
        self.lock = lock
        table = movers.table
        bytes = wanted.values.reduce(0) { $0 + $1.bytes }
    }

    /// Reads the table. On a thread that may wait; once.
    ///
    /// What fails here is said again by `finishRestore`, which has to be called in any case.
    ///
    /// - Throws: `system`.
    public func read() throws(StoreError) {
        do {
            let read = try readFiles()
            result.withLock { $0 = .success(read) }
        } catch {
            let place = "reading table \(table), \(bytes) bytes, back from the disk"
            let failure =
                (error as? SystemError).map { StoreError(.system, nil, place, underlying: $0) }
                ?? StoreError(.unsuitable, nil, "\(place): \(error)")
            result.withLock { $0 = .failure(failure) }
            throw failure
        }
    }

    /// Lets go of the files that the table was in; what nobody names any more of them is free then. It happens by itself with the
    /// end of the work, and takes the time that freeing takes: on any thread.
    public func letGo() { movers.files.letGo() }

    /// What came of `read`; nil when it was never called.
    func take() -> Result<Read, StoreError>? {
        result.withLock { result in
            defer { result = nil }
            return result
        }
    }

    private func readFiles() throws -> Read {
        let begin = MonotonicClock.nanoseconds()
        let placements = places()
        let huge = Machine.hugePageBytes
        let end = placements.last.map { $0.offset + $0.range.count } ?? 0
        let size = max(huge, (end + huge - 1) & ~(huge - 1))
        let file = try Segment.makeFile(movers.newID, bytes: size, lock: lock)
        try Segment.collapse(file.descriptor, bytes: end & ~(huge - 1))
        try copy(placements, to: file)
        let reader = try Segment.lock(file, lock)
        let new = SIPC.Segment(id: movers.newID.rawValue, bytes: UInt64(size))
        let relocation = Relocation(placements)
        var tables = try movers.rewriteOthers(relocation, to: new)
        let moved = movers.descriptor.relocated(to: new) { relocation.offset(of: $1, in: $0) }
        guard let moved else { preconditionFailure("a table on a disk names nothing there") }
        tables[table] = try Rewritten(movers.box, bytes: moved)
        let segment = NewSegment(
            id: movers.newID, bytes: size, place: .memory, writer: file, reader: reader, tables: tables)
        let nanoseconds = MonotonicClock.nanoseconds() - begin
        return Read(segment: segment, figures: RestoreFigures(bytes: bytes, nanoseconds: nanoseconds))
    }

    /// Puts the ranges close together, each at the alignment that it had.
    private func places() -> [Placement] {
        var placements: [Placement] = []
        var end = 0
        for segment in wanted.keys.sorted() {
            for range in wanted[segment]?.ranges ?? [] {
                end += (range.lowerBound - end) & 63
                placements.append(Placement(segment: segment.rawValue, range: range, offset: end))
                end += range.count
            }
        }
        return placements
    }

    /// How much is read at once.
    private static let windowBytes = 4 << 20

    /// Through the descriptors: memory that runs out is an error there, and a SIGBUS in a mapping.
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
                // It is in memory twice by now.
                try from.descriptor.dropCache(start & ~(Machine.pageBytes - 1)..<start + count)
            }
        }
    }
}

extension SegmentStore {
    /// Begins to read a table back into memory. It is pinned until `finishRestore`.
    ///
    /// - Parameter table: one that is on a disk, wholly or in part.
    /// - Returns: the work, for a thread that may wait.
    /// - Throws: `unsuitable` when nothing of the table is on a disk.
    public func beginRestore(_ table: TableID) throws(StoreError) -> RestoreWork {
        let disk = diskSegments(of: table)
        guard !disk.isEmpty else { throw StoreError(.unsuitable, nil, "table \(table) is in memory already") }
        do {
            var wanted: [SegmentID: RangeSet] = [:]
            for id in disk { wanted[id] = tables[table]?.named[id] }
            return RestoreWork(try pin(table, "restore"), wanted, lock)
        } catch {
            throw StoreError(.unsuitable, nil, "table \(table) can't be read back: \(error)")
        }
    }

    /// Ends reading back, whatever came of it: the table and those that share its bytes are in memory, and room on the disk that nobody
    /// else names is free.
    ///
    /// - Parameter work: from `beginRestore`, when its `read` has returned or was never called.
    public func finishRestore(_ work: RestoreWork) -> RestoreOutcome {
        let mayMove: Bool
        do throws(StoreError) {
            mayMove = try unpin(work.movers)
        } catch {
            return .failed(error)
        }
        switch work.take() {
        case .failure(let error)?: return .failed(error)
        case .success(var read)? where mayMove:
            read.figures.tables = adopt(read.segment).tables
            restoredBytes += read.figures.bytes
            return .restored(read.figures)
        default: return .superseded
        }
    }
}
