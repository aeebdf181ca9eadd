import Glibc
import SIPC
import System

/// A table on its way to a file that outlives the engine. It holds everything that a thread of its own needs, and uses nothing of
/// the store.
public final class SaveWork: Sendable {
    /// The table.
    public let table: TableID

    let movers: MovingTables
    private let bytes: Int
    private let folder: Folder
    private let name: String
    private let key: String

    init(_ movers: MovingTables, bytes: Int, _ folder: Folder, _ name: String, key: String) {
        self.movers = movers
        self.bytes = bytes
        self.folder = folder
        self.name = name
        self.key = key
        table = movers.table
    }

    /// Writes the table as a standard Arrow IPC file with its checksum, which gets its name when it is whole. On a thread that may wait; once.
    ///
    /// Nothing happens if a file of that name is there already.
    ///
    /// - Throws: `diskFull`, `system`; `unsuitable` when the table can't be an Arrow IPC file, or would be much larger there.
    public func write() throws(StoreError) {
        do {
            HoldPoint.save.pass()
            if (try? folder.status(of: name)) != nil { return }
            let descriptor = try movers.descriptor()
            guard try descriptor.fileLayout().format == .file else {
                throw StoreError(.unsuitable, nil, "table \(table) can't be saved: its dictionaries are replaced")
            }
            let table = try descriptor.trimmed(try movers.map())
            let layout = try table.descriptor.fileLayout(hasChecksum: true)
            try SegmentStore.checkFileBytes(layout, of: bytes, self.table)
            let pending = try PendingFile(in: folder)
            try pending.file.descriptor.allocate(bytes: layout.bytes)
            var output = DiskOutput(pending.file)
            _ = try table.descriptor.writeFile(layout, table.segments, key: key) { try output.write($0, at: $1) }
            try output.finish()
            try pending.link(as: name)
        } catch let error as StoreError {
            throw error
        } catch {
            throw StoreError(writing: "saving table \(table), \(bytes) bytes, as \(folder.path)/\(name)", error)
        }
    }
}

extension SegmentStore {
    /// Begins to save a table; it stays where it is. It is pinned until `finishSave`: it can be lent and released meanwhile.
    ///
    /// - Parameters:
    ///   - table: any.
    ///   - folder: where to.
    ///   - name: the file's name, which nothing should have.
    ///   - key: what it is kept by; its checksum is of that too.
    /// - Returns: the work, for a thread that may wait.
    public func beginSave(_ table: TableID, in folder: Folder, as name: String, key: String) -> SaveWork {
        SaveWork(pin(table, "save"), bytes: namedBytes(of: table), folder, name, key: key)
    }

    /// Ends a save, whatever came of it.
    public func finishSave(_ work: SaveWork) { endReading(work.movers) }

    /// A number for a table that was saved, which `SavedTable` needs to be read elsewhere.
    public func numberForSaved() -> SegmentID { nextSegmentID() }

    /// Takes in a table that was saved, and reads it right here.
    ///
    /// - Parameter file: open for reading alone, and as it was written (`hasArrowChecksum`): its content isn't checked here.
    /// - Throws: `unsuitable` when it is no Arrow IPC file, or a damaged one; `system`.
    public func takeSaved(_ file: DescriptorBox) throws(StoreError) -> TableID {
        take(try SavedTable(reading: file, as: nextSegmentID()))
    }

    /// Takes in a table that was saved; it is read from its file, which must stay as it is.
    public func take(_ saved: SavedTable) -> TableID {
        let segment = Segment(id: saved.id, lock: lock, bytes: saved.bytes, producer: "", model: "", file: saved.file)
        segment.reader = saved.file
        segment.writer = nil
        segment.place = .disk
        segment.phase = .published
        if !saved.named.isEmpty { segments[saved.id] = segment }
        return take(Table(descriptor: saved.descriptor, named: saved.named))
    }
}

/// A table in the file that it was saved to, decoded: on any thread, as a disk may be slow and a table long.
public struct SavedTable: Sendable {
    /// The number of rows.
    public let rows: UInt64
    let id: SegmentID
    let file: DescriptorBox
    let bytes: Int
    let descriptor: DescriptorBox
    let named: [SegmentID: RangeSet]

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - file: open for reading alone, and as it was written (`hasArrowChecksum`): its content isn't checked here.
    ///   - id: a number that the store gave for it alone (`numberForSaved`).
    /// - Throws: `unsuitable` when it is no Arrow IPC file, or a damaged one; `system`.
    public init(reading file: DescriptorBox, as id: SegmentID) throws(StoreError) {
        do {
            let table = try Descriptor(
                arrowFile: try MappedSegment(id: id.rawValue, try file.descriptor.duplicate()))
            self.id = id
            self.file = file
            rows = table.rows
            bytes = try file.descriptor.status().bytes
            descriptor = DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", table.bytes))
            named = RewrittenDescriptor.named(by: table).filter { !$0.value.isEmpty }
        } catch {
            let place = "taking in a saved table"
            if let error = error as? SystemError { throw StoreError(.system, id, place, underlying: error) }
            throw StoreError(.unsuitable, id, "\(place): \(error)")
        }
    }
}
