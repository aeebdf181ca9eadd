import Glibc
import SIPC
import System

/// The output segment of a session: where packed and copied buffers go.
final class Output {
    /// The number it has in what a worker publishes.
    static let id: UInt64 = 0

    let segment: Segment
    private let room: Room

    private enum Room {
        case arena(Arena)
        case file(FileRoom)
    }

    /// Takes the output file: attaches the arena to it when there is one, and maps it otherwise.
    init(_ file: consuming FileDescriptor, fileBytes: UInt64, bytesMax: UInt64) throws {
        segment = Segment(id: Self.id, bytes: fileBytes)
        if let arena = Arena() {
            let code = arena.attach(file.raw, fileBytes: fileBytes, bytesMax: bytesMax)
            guard code == 0 else {
                throw SystemError("zerrow_arena_attach", errno: -code, context: "a file of \(fileBytes) bytes")
            }
            room = .arena(arena)
        } else {
            room = .file(try FileRoom(file, fileBytes: fileBytes, bytesMax: bytesMax))
        }
    }

    /// A publisher into this segment that reshares `inputs`.
    func publisher(_ inputs: [MappedSegment]) -> Publisher {
        let segment = self.segment
        switch room {
        case .arena(let arena):
            let born = Publisher.Way(counter: \.bornSharedBytes) { (memory) throws(SIPCError) in
                arena.locate(memory).map { (segment, $0) }
            }
            return Publisher(inputs: inputs, ways: [born], output: segment) { (bytes) throws(SIPCError) in
                try arena.take(bytes)
            }
        case .file(let file):
            return Publisher(inputs: inputs, ways: [], output: segment) { (bytes) throws(SIPCError) in
                try file.take(bytes)
            }
        }
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

    /// Room at the end of what is used. Its memory is taken now: writing to a page that cannot be had would kill the process.
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
