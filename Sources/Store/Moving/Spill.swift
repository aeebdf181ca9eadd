import Glibc
import SIPC
import System

/// A folder on a disk that tables are spilled to.
///
/// It may be everybody's, as /var/tmp is: its files have no names, so nobody else can open one, or put another in its place.
public struct SpillFolder: Sendable {
    /// Open, so that it stays the one that was checked.
    let folder: Folder

    /// Where it is.
    public var path: String { folder.path }

    /// A folder that files can be made in.
    ///
    /// - Throws: `unsuitable` when its files would be in memory; `system` when no file can be made in it.
    public init(_ path: String) throws(StoreError) {
        let (folder, isInMemory) = try onSegment(nil, "spilling to \(path)") { () throws(SystemError) in
            let folder = try Folder(path)
            return (folder, try FileDescriptor.unnamed(in: folder).isInMemory())
        }
        if isInMemory {
            throw StoreError(
                .unsuitable, nil, "\(path) is in memory: spilling to it frees none; name a folder on a disk")
        }
        self.folder = folder
    }
}

/// The task of writing one table to a disk.
private struct SpillWriter: Sendable {
    let movers: MovingTables
    let bytes: Int
    let folder: SpillFolder

    func write() throws(StoreError) -> MoveWork.Made {
        do {
            return try writeFile()
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError(writing: "spilling table \(movers.table), \(bytes) bytes, to \(folder.path)", error)
        }
    }

    private func writeFile() throws -> MoveWork.Made {
        HoldPoint.spill.pass()
        let begin = MonotonicClock.nanoseconds()
        let table = try movers.descriptor().trimmed(try movers.map())
        let layout = try table.descriptor.fileLayout()
        try SegmentStore.checkFileBytes(layout, of: bytes, movers.table)
        let file = DescriptorBox(try FileDescriptor.unnamed(in: folder.folder))
        try file.descriptor.allocate(bytes: layout.bytes)
        var output = DiskOutput(file)
        let placements = try table.descriptor.writeFile(layout, table.segments) { try output.write($0, at: $1) }
        try output.finish()
        var figures = MoveFigures()
        figures.bytes = layout.bytes
        figures.nanoseconds = MonotonicClock.nanoseconds() - begin
        figures.cachedBytes = try Self.cachedBytes(file, bytes: layout.bytes)

        let new = SegmentEntry(id: movers.newID.rawValue, bytes: UInt64(layout.bytes))
        var tables = try movers.rewriteOthers(OffsetMap(placements), to: new)
        tables[movers.table] = try RewrittenDescriptor(
            movers.box, bytes: table.descriptor.described(in: layout, id: new.id))
        let reader = DescriptorBox(try file.descriptor.reopenReadOnly())
        let segment = NewSegment(
            id: movers.newID, bytes: layout.bytes, place: .disk, writer: file, reader: reader, tables: tables)
        return MoveWork.Made(segment: segment, figures: figures)
    }

    /// The bytes of a file that are in the page cache.
    private static func cachedBytes(_ file: DescriptorBox, bytes: Int) throws(SystemError) -> Int {
        let mapping = try Mapping(file.descriptor, count: bytes)
        return try mapping.residentRanges(in: 0..<bytes).reduce(0) { $0 + $1.count }
    }
}

extension SegmentStore {
    /// The largest ratio of file to table. An Arrow file can't share buffers between batches, so a table whose batches share them
    /// grows when it is written; beyond this factor it isn't spilled.
    static let spillBytesMax = 2

    /// Begins to move a table to a disk. It is pinned until `finish`: it can be lent and released meanwhile.
    ///
    /// - Parameters:
    ///   - table: a table, as a rule one that nobody reads.
    ///   - folder: the folder to spill to.
    /// - Returns: the work, for a thread that may wait.
    ///   It fails as `unsuitable` when the table would be much larger there.
    /// - Throws: `unsuitable` when the table is on a disk already, or names nothing.
    public func beginSpill(_ table: TableID, to folder: SpillFolder) throws(StoreError) -> MoveWork {
        let bytes = namedBytes(of: table)
        guard bytes > 0 else { throw StoreError(.unsuitable, nil, "table \(table) has no bytes to spill") }
        guard memorySegments(of: table).isEmpty == false else {
            throw StoreError(.unsuitable, nil, "table \(table) is on a disk already")
        }
        let movers = pin(table, "spill")
        let writer = SpillWriter(movers: movers, bytes: bytes, folder: folder)
        return MoveWork(.spill, movers, bytes: bytes) { () throws(StoreError) in try writer.write() }
    }

    /// Refuses a file that would be much larger than what its table names.
    static func checkFileBytes(_ layout: FileLayout, of bytes: Int, _ table: TableID) throws(StoreError) {
        guard layout.bytes <= spillBytesMax * bytes + Machine.hugePageBytes else {
            let message = "table \(table) of \(bytes) bytes would have \(layout.bytes) on a disk"
            throw StoreError(.unsuitable, nil, "\(message): its batches share their buffers")
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
