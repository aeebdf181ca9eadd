import Glibc
import SIPC
import System

/// The output segment of a session, for packed, moved and copied buffers.
final class Output {
    /// The number of the segment in the descriptors that a worker publishes.
    static let id: UInt64 = 0

    private let file: FileDescriptor
    /// The size of the file; memory that is moved into it is appended.
    private(set) var bytes: UInt64
    /// The memory of earlier tables that was moved or copied into the file, by address.
    private var places: [(memory: UnsafeRawBufferPointer, offset: UInt64)] = []
    private let room: Room
    /// Moves memory into the file; nil where the kernel has no KernelZero, or the session was not given it.
    var kernelZero: KernelZero?
    /// How the pages of all moved memory went.
    private(set) var pages = PageCounts()

    private enum Room {
        case arena(Arena)
        case file(FileRoom)
    }

    /// Takes the output file: attaches the arena to it when there is one, and maps it otherwise.
    init(_ file: consuming FileDescriptor, fileBytes: UInt64, bytesMax: UInt64) throws {
        bytes = fileBytes
        if let arena = Arena() {
            let code = arena.attach(file.raw, fileBytes: fileBytes, bytesMax: bytesMax)
            guard code == 0 else {
                throw SystemError("zerrow_arena_attach", errno: -code, context: "a file of \(fileBytes) bytes")
            }
            room = .arena(arena)
        } else {
            room = .file(try FileRoom(try file.duplicate(), fileBytes: fileBytes, bytesMax: bytesMax))
        }
        self.file = file
    }

    /// Remembers where a table's memory was put. It stays allocated, because another table may have the same.
    func remember(_ table: Publisher.Kept) {
        places += table.places
        places.sort { UInt(bitPattern: $0.memory.baseAddress) < UInt(bitPattern: $1.memory.baseAddress) }
    }

    /// Where a range of memory was put with an earlier table, if it is a part of one range of that.
    private func recall(_ memory: UnsafeRawBufferPointer) -> UInt64? {
        let start = UInt(bitPattern: memory.baseAddress)
        var (low, high) = (0, places.count)
        while low < high {
            let middle = (low + high) / 2
            if UInt(bitPattern: places[middle].memory.baseAddress) <= start { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let place = places[low - 1]
        let skipped = Int(start - UInt(bitPattern: place.memory.baseAddress))
        guard skipped <= place.memory.count, memory.count <= place.memory.count - skipped else { return nil }
        return place.offset + UInt64(skipped)
    }

    /// A publisher into this segment that reshares `inputs`.
    func publisher(_ inputs: [MappedSegment]) -> Publisher {
        let segment = SegmentEntry(id: Self.id, bytes: bytes)
        let put = Publisher.Way(counter: \.bornSharedBytes) { [self] (memory) throws(SIPCError) in
            recall(memory).map { (segment, $0) }
        }
        let mover: Publisher.Mover? = kernelZero.map { kernelZero in { self.move($0, kernelZero) } }
        switch room {
        case .arena(let arena):
            let born = Publisher.Way(counter: \.bornSharedBytes) { (memory) throws(SIPCError) in
                arena.locate(memory).map { (segment, $0) }
            }
            return Publisher(inputs: inputs, ways: [born, put], mover: mover, output: segment) {
                (bytes) throws(SIPCError) in
                try arena.take(bytes)
            }
        case .file(let file):
            return Publisher(inputs: inputs, ways: [put], mover: mover, output: segment) { (bytes) throws(SIPCError) in
                try file.take(bytes)
            }
        }
    }

    private func move(_ memory: [UnsafeRawBufferPointer], _ kernelZero: KernelZero) -> Publisher.Moved {
        let done = Deanonymization(memory, into: file, by: kernelZero)
        bytes = done.fileBytes ?? bytes
        pages.add(done.pages)
        return Publisher.Moved(
            offsets: done.offsets, movedBytes: done.movedBytes, copiedBytes: done.copiedBytes, segmentBytes: bytes)
    }

    /// Called when a result has been read: none of its memory may be given out again.
    func freeze() {
        if case .arena(let arena) = room { arena.freeze() }
    }
}

/// An output file without an arena, filled from its beginning.
final class FileRoom {
    private let file: FileDescriptor
    private let mapping: Mapping
    private let bytesMax: UInt64
    private var used = 0

    init(_ file: consuming FileDescriptor, fileBytes: UInt64, bytesMax: UInt64) throws {
        mapping = try Mapping(file, count: Int(fileBytes), access: .readWrite)
        self.bytesMax = min(bytesMax, fileBytes)
        self.file = file
    }

    /// Room after the used part. Its memory is taken now: writing to a page that cannot be had would kill the process.
    func take(_ bytes: Int) throws(SIPCError) -> (UnsafeMutableRawPointer, offset: UInt64) {
        let start = (used + 63) & ~63
        guard UInt64(bytes) <= bytesMax, UInt64(start) <= bytesMax - UInt64(bytes) else {
            throw SIPCError.outputFull(bytes, errno: ENOMEM)
        }
        do {
            try file.reserve(start..<(start + bytes))
        } catch {
            throw SIPCError.outputFull(bytes, errno: error.errno)
        }
        used = start + bytes
        return (mapping.base + start, UInt64(start))
    }
}
