import Glibc
import System

/// A file on a disk that a worker writes its result to, beside its output: batch by batch, where that grows too large for memory.
///
/// It has no name, and while its worker lives nobody reads it. When the worker is dead with all that it started nobody else can
/// write it, and it becomes a segment.
struct Room: Sendable {
    let id: SegmentID
    let file: DescriptorBox
    /// Where it is, for messages.
    let folder: String
}

/// A room whose worker is dead, as it is taken in: bytes that no table names are zero.
struct WrittenRoom: Sendable {
    let room: Room
    let bytes: Int
    let reader: DescriptorBox
}

extension Room {
    /// How much is read at once to find what no table names.
    private static let windowBytes = 1 << 20

    /// The size of the file.
    func bytes() throws(StoreError) -> Int {
        try onSegment(id, "measuring the file on the disk") { () throws(SystemError) in
            try file.descriptor.status().bytes
        }
    }

    /// Takes the file in. On a thread that may wait.
    ///
    /// - Parameters:
    ///   - bytes: its size, by which references were checked.
    ///   - named: what tables name of it.
    func take(bytes: Int, naming named: RangeSet) throws(StoreError) -> WrittenRoom {
        let status = try onSegment(id, "checking the file on the disk") { () throws(SystemError) in
            try file.descriptor.status()
        }
        guard status.bytes == bytes, status.mode == 0o600, status.owner == geteuid(), !status.isNearlyHole else {
            throw StoreError(.tampered, id, "the worker changed the file on the disk that it was given")
        }
        do throws(SystemError) {
            for gap in RangeSet([0..<bytes]).subtracting(named).ranges { try zero(gap) }
            let reader = DescriptorBox(try file.descriptor.reopenReadOnly())
            return WrittenRoom(room: self, bytes: bytes, reader: reader)
        } catch {
            throw StoreError(writing: "taking in a result of \(bytes) bytes in \(folder)", error)
        }
    }

    /// Zeroes a range. What is zero already, as between buffers, is not written again.
    private func zero(_ range: Range<Int>) throws(SystemError) {
        var place = range.lowerBound
        // A hole may be far longer than what is there.
        while let start = try file.descriptor.nextDataStart(from: place), start < range.upperBound {
            let window = start..<min(start + Self.windowBytes, range.upperBound)
            place = window.upperBound
            guard try file.descriptor.bytes(window).contains(where: { $0 != 0 }) else { continue }
            let zeros = [UInt8](repeating: 0, count: window.count)
            try zeros.withUnsafeBufferPointer { (zeros) throws(SystemError) in
                try file.descriptor.writeAll(UnsafeRawBufferPointer(zeros), at: window.lowerBound)
            }
        }
    }
}

/// A file that nobody has yet.
public struct NewRoom: Sendable {
    /// The file: empty, open for reading and writing.
    public let file: DescriptorBox
    /// The folder that it is in, for messages.
    public let folder: String
    /// What its disk had free, in bytes.
    public let bytesFree: UInt64
}

extension SpillFolder {
    /// Makes a file for a worker's result. On a thread that may wait.
    ///
    /// - Throws: `diskFull`, `system`.
    public func makeRoom() throws(StoreError) -> NewRoom {
        do throws(SystemError) {
            let file = DescriptorBox(try FileDescriptor.unnamed(in: folder))
            return NewRoom(file: file, folder: path, bytesFree: try folder.bytesFree())
        } catch {
            throw StoreError(writing: "making a file in \(path)", error)
        }
    }
}

extension SegmentStore {
    /// Gives a worker a room, which it may write.
    ///
    /// - Returns: the number of the segment that it may become.
    public func add(room new: NewRoom, for worker: BorrowerID) -> SegmentID {
        precondition(rooms[worker] == nil, "worker \(worker) has a room already")
        let room = Room(id: nextSegmentID(), file: new.file, folder: new.folder)
        rooms[worker] = room
        return room.id
    }

    /// The bytes that the room of a worker takes of its disk; 0 where it has none.
    public func roomBytes(of worker: BorrowerID) -> Int {
        rooms[worker].flatMap { try? $0.file.descriptor.status().residentBytes } ?? 0
    }

    /// Takes in what a dead worker has written, before the tables that name it.
    func install(_ written: WrittenRoom, of worker: BorrowerID) {
        rooms[worker] = nil
        let segment = Segment(
            id: written.room.id, lock: lock, bytes: written.bytes, producer: worker, model: "", file: written.room.file)
        segment.reader = written.reader
        segment.place = .disk
        segment.phase = .published
        segments[segment.id] = segment
    }
}
