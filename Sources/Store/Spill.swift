import Glibc
import SIPC
import Synchronization
import System

/// A folder on a disk that tables are spilled to.
public struct SpillFolder: Sendable {
    /// Where it is.
    public let path: String

    /// A folder that files can be made in.
    ///
    /// - Throws: `unsuitable` when its files would be in memory; `system` when no file can be made in it.
    public init(_ path: String) throws(StoreError) {
        let isInMemory = try onSegment(nil, "spilling to \(path)") { () throws(SystemError) in
            try FileDescriptor.unnamed(in: path).isInMemory()
        }
        if isInMemory {
            throw StoreError(
                .unsuitable, nil, "\(path) is in memory: spilling to it frees none; name a folder on a disk")
        }
        self.path = path
    }
}

/// What a spill did.
public struct SpillFigures: Sendable, Equatable {
    /// The size of the file on the disk.
    public var fileBytes = 0
    /// The memory that is free once the work has let go of it, in bytes. What other tables name, and somebody reads, is not.
    public var freedBytes = 0
    /// How long the writing took, until the disk had it all, in nanoseconds.
    public var nanoseconds: UInt64 = 0
    /// What is left of the file in the page cache, in bytes.
    public var cachedBytes = 0
    /// Tables that name the file now, the spilled one included.
    public var tables = 0

    /// How fast it was written, in bytes per second.
    public var bytesPerSecond: Double { nanoseconds == 0 ? 0 : Double(fileBytes) * 1e9 / Double(nanoseconds) }
}

/// How a spill ended.
public enum SpillOutcome: Sendable {
    /// The table is on the disk.
    case spilled(SpillFigures)
    /// Somebody got the table meanwhile, or nobody needs it any more: it is where it was, or gone.
    case superseded
    /// It could not be written; the table is where it was.
    case failed(StoreError)
}

/// A table on its way to a disk: what a thread of its own needs to write it. It uses nothing of the store.
public final class SpillWork: Sendable {
    /// The table.
    public let table: TableID
    /// The size of the file that it will be.
    public let fileBytes: Int

    let movers: Movers
    private let layout: FileLayout
    private let folder: SpillFolder
    private let result = Mutex<Result<Written, StoreError>?>(nil)

    /// What was written.
    struct Written: Sendable {
        let segment: NewSegment
        var figures: SpillFigures
    }

    init(_ movers: Movers, _ layout: FileLayout, _ folder: SpillFolder) {
        self.movers = movers
        self.layout = layout
        self.folder = folder
        table = movers.table
        fileBytes = layout.bytes
    }

    /// Writes the table, and waits until the disk has it. On a thread that may wait; once.
    ///
    /// What fails here is said again by `finishSpill`, which has to be called in any case.
    ///
    /// - Throws: `diskFull`, `system`.
    public func write() throws(StoreError) {
        do {
            let written = try writeFile()
            result.withLock { $0 = .success(written) }
        } catch {
            let failure = StoreError(
                writing: "spilling table \(table), \(fileBytes) bytes, to \(folder.path)", error)
            result.withLock { $0 = .failure(failure) }
            throw failure
        }
    }

    /// Lets go of the memory that the table was in; what nobody names any more of it is free then. It happens by itself with the
    /// end of the work, and takes the time that freeing takes: on any thread.
    public func letGo() { movers.files.letGo() }

    /// What came of `write`; nil when it was never called.
    func take() -> Result<Written, StoreError>? {
        result.withLock { result in
            defer { result = nil }
            return result
        }
    }

    private func writeFile() throws -> Written {
        let begin = MonotonicClock.nanoseconds()
        let file = DescriptorBox(try FileDescriptor.unnamed(in: folder.path))
        try file.descriptor.allocate(bytes: fileBytes)
        var output = DiskOutput(file)
        let segments = try movers.map()
        let placements = try movers.descriptor.writeFile(layout, segments) { try output.write($0, at: $1) }
        try output.finish()
        var figures = SpillFigures()
        figures.fileBytes = fileBytes
        figures.nanoseconds = MonotonicClock.nanoseconds() - begin
        figures.cachedBytes = try Self.cachedBytes(file, bytes: fileBytes)

        let new = SIPC.Segment(id: movers.newID.rawValue, bytes: UInt64(fileBytes))
        var tables = try movers.rewriteOthers(Relocation(placements), to: new)
        tables[table] = try Rewritten(movers.box, bytes: movers.descriptor.described(in: layout, id: new.id))
        let reader = DescriptorBox(try file.descriptor.reopenReadOnly())
        let segment = NewSegment(
            id: movers.newID, bytes: fileBytes, place: .disk, writer: file, reader: reader, tables: tables)
        return Written(segment: segment, figures: figures)
    }

    /// What of a file is in the page cache.
    private static func cachedBytes(_ file: DescriptorBox, bytes: Int) throws(SystemError) -> Int {
        let mapping = try Mapping(file.descriptor, count: bytes)
        return try mapping.residentRanges(in: 0..<bytes).reduce(0) { $0 + $1.count }
    }
}

/// Writes a file from its beginning to its end, and keeps next to nothing of it in the page cache: dirty pages are memory too.
struct DiskOutput {
    /// How much is written before the disk is asked to begin; at most three times as much is dirty.
    private static let windowBytes = 8 << 20

    private let file: DescriptorBox
    private var end = 0
    /// Up to here the disk was asked to begin.
    private var begun = 0
    /// Up to here it has it.
    private var done = 0

    init(_ file: DescriptorBox) { self.file = file }

    mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SystemError) {
        var place = 0
        while place < bytes.count {
            let count = min(bytes.count - place, Self.windowBytes)
            let piece = UnsafeRawBufferPointer(rebasing: bytes[place..<place + count])
            try file.descriptor.writeAll(piece, at: offset + place)
            place += count
            end = offset + place
            if end - begun >= Self.windowBytes { try advance() }
        }
    }

    /// The disk begins with what is new, while what it began with before is waited for.
    private mutating func advance() throws(SystemError) {
        let page = Machine.pageBytes
        let last = begun
        begun = end & ~(page - 1)
        try file.descriptor.beginWriteback(last..<begun)
        try file.descriptor.finishWriteback(done..<last)
        try file.descriptor.dropCache(done..<last)
        done = last
    }

    mutating func finish() throws(SystemError) {
        try file.descriptor.synchronize()
        // All of it: what lay across two windows has stayed.
        try file.descriptor.dropCache(0..<end)
    }
}

extension SegmentStore {
    /// Tables of which more than this many times what they name would have to be written are not spilled: in a file, batches that
    /// share a buffer each have their own.
    static let spillBytesMax = 2

    /// Begins to move a table to a disk. It is pinned until `finishSpill`: it can be lent and released meanwhile.
    ///
    /// - Parameters:
    ///   - table: one that nobody reads, as a rule.
    ///   - folder: where to.
    /// - Returns: the work, for a thread that may wait.
    /// - Throws: `unsuitable` when the table is on a disk already, names nothing, or would be much larger there.
    public func beginSpill(_ table: TableID, to folder: SpillFolder) throws(StoreError) -> SpillWork {
        let bytes = namedBytes(of: table)
        guard bytes > 0 else { throw StoreError(.unsuitable, nil, "table \(table) has no bytes to spill") }
        guard memorySegments(of: table).isEmpty == false else {
            throw StoreError(.unsuitable, nil, "table \(table) is on a disk already")
        }
        let movers: Movers
        do {
            movers = try pin(table, "spill")
        } catch {
            tables[table]?.isUnspillable = true
            throw StoreError(.unsuitable, nil, "table \(table) can't be spilled: \(error)")
        }
        do {
            let layout = try movers.descriptor.fileLayout()
            guard layout.bytes <= Self.spillBytesMax * bytes + Machine.hugePageBytes else {
                let message = "table \(table) of \(bytes) bytes would have \(layout.bytes) on a disk"
                throw StoreError(.unsuitable, nil, "\(message): its batches share their buffers")
            }
            return SpillWork(movers, layout, folder)
        } catch {
            tables[table]?.readers.remove(movers.pin)
            tables[table]?.isUnspillable = true
            throw error as? StoreError
                ?? StoreError(.unsuitable, nil, "table \(table) can't be spilled: \(error)")
        }
    }

    /// Ends a spill, whatever came of it: the table and those that share its bytes name the file, and the memory that nobody else
    /// names is free once the work has let go of it (`letGo`). Sealed segments of which something is still named keep their memory until
    /// `compact`.
    ///
    /// - Parameter work: from `beginSpill`, when its `write` has returned or was never called.
    public func finishSpill(_ work: SpillWork) -> SpillOutcome {
        let mayMove: Bool
        do throws(StoreError) {
            mayMove = try unpin(work.movers)
        } catch {
            // Released meanwhile; its memory goes with the next release.
            return .failed(error)
        }
        switch work.take() {
        case .failure(let error)?: return .failed(error)
        case .success(var written)? where mayMove:
            let (freedBytes, tables) = adopt(written.segment)
            written.figures.freedBytes = freedBytes
            written.figures.tables = tables
            return .spilled(written.figures)
        default: return .superseded
        }
    }

    /// The segments in memory that a table names.
    func memorySegments(of table: TableID) -> [SegmentID] {
        tables[table]?.named.keys.filter { segments[$0]?.place == .memory }.sorted() ?? []
    }

    /// The segments on a disk that a table names.
    func diskSegments(of table: TableID) -> [SegmentID] {
        tables[table]?.named.keys.filter { segments[$0]?.place == .disk }.sorted() ?? []
    }

    /// Whether a table has to be read back into memory before it can be lent: it is on a disk, and workers run as the engine's own
    /// user, who could open the file for writing.
    public func mustRestore(_ table: TableID) -> Bool { lock == .sealed && !diskSegments(of: table).isEmpty }
}
