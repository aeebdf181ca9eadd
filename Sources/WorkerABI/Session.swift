import CArrow
import Glibc
import SIPC
import System

/// The segments that a worker has been given, and its last error: the object behind `zerrow_session`.
///
/// For one thread at a time; streams and arrays that it gives out keep their own memory.
final class Session {
    private var segments: [UInt64: MappedSegment] = [:]
    private var output: Output?
    private var errorText = strdup("")

    deinit { free(errorText) }

    /// The message of the last failure; valid until the next call.
    var error: UnsafePointer<CChar>? { errorText.map { UnsafePointer($0) } }

    /// Runs one call: 0, or a negative errno and the message kept.
    func call(_ body: () throws -> Void) -> Int32 {
        do {
            try body()
            return 0
        } catch {
            free(errorText)
            errorText = strdup("\(error)")
            switch error {
            case let error as SIPCError: return error.errno == 0 ? -EIO : -abs(error.errno)
            case let error as SystemError: return -error.errno
            default: return -EIO
            }
        }
    }

    /// The memory of published tables; it stays allocated as long as the session lives, which in a worker is for ever.
    private var kept: [Publisher.Kept] = []

    func addSegment(_ id: UInt64, _ file: consuming FileDescriptor) throws {
        guard id != Output.id else { throw SIPCError.misuse(EINVAL, "segment id 0 is the worker's own output") }
        guard segments[id] == nil else { throw SIPCError.misuse(EEXIST, "segment \(id) was given already") }
        segments[id] = try MappedSegment(id: id, file)
    }

    func setOutput(_ file: consuming FileDescriptor, fileBytes: UInt64, bytesMax: UInt64) throws {
        guard output == nil else { throw SIPCError.misuse(EALREADY, "the session has an output segment already") }
        guard fileBytes > 0, fileBytes <= UInt64(try file.status().bytes) else {
            throw SIPCError.misuse(EINVAL, "the output segment is smaller than the \(fileBytes) bytes it should have")
        }
        output = try Output(file, fileBytes: fileBytes, bytesMax: bytesMax)
    }

    func setKernelZero(_ device: consuming FileDescriptor) throws {
        guard let output else { throw SIPCError.misuse(EBADF, "the session has no output segment to move memory into") }
        let kernelZero = try KernelZero(device)
        guard kernelZero.info.abi == KernelZero.Info.abiExpected else {
            throw SIPCError.misuse(EPROTO, kernelZero.info.mismatch ?? "another version of KernelZero")
        }
        output.kernelZero = kernelZero
    }

    /// How the pages of moved memory went.
    var pages: PageCounts { output?.pages ?? PageCounts() }

    func open(_ descriptor: Int32, _ out: UnsafeMutablePointer<ArrowArrayStream>) throws {
        try read(descriptor).open(Array(segments.values), to: out)
    }

    func publish(_ stream: UnsafeMutablePointer<ArrowArrayStream>) throws -> (Int32, PublishCounts) {
        guard let output else { throw SIPCError.misuse(EBADF, "the session has no output segment to publish to") }
        let publisher = output.publisher(Array(segments.values))
        let (descriptor, counts, table) = try publisher.publish(stream) { output.freeze() }
        output.remember(table)
        kept.append(table)
        return (try Self.file(descriptor).release(), counts)
    }

    /// Publishes a stream batch by batch into a file on a disk, which readers know as the segment `id`.
    func publish(
        _ stream: UnsafeMutablePointer<ArrowArrayStream>, toDisk raw: Int32, as id: UInt64
    ) throws -> (Int32, PublishCounts) {
        guard id != Output.id, segments[id] == nil else {
            throw SIPCError.misuse(EEXIST, "segment \(id) was given already")
        }
        var disk = DiskOutput(DescriptorBox(try FileDescriptor.duplicate(of: raw)))
        var end = 0
        let publisher = StreamedPublisher(inputs: Array(segments.values), writing: id)
        let (descriptor, counts) = try publisher.publish(stream) {
            try disk.write($0, at: end)
            end += $0.count
        }
        try disk.finish()
        return (try Self.file(descriptor).release(), counts)
    }

    func refresh(_ descriptor: Int32) throws -> Int32 {
        guard let output else { throw SIPCError.misuse(EBADF, "the session has no output segment") }
        let known = try read(descriptor)
        let segment = SegmentEntry(id: Output.id, bytes: output.bytes)
        guard let fresh = known.rebased(Output.id, to: segment, { $0.offset }) else {
            preconditionFailure("every reference has its own place")
        }
        return try Self.file(fresh).release()
    }

    func writeStream(_ descriptor: Int32, to raw: Int32) throws {
        try read(descriptor).writeStream(Array(segments.values), to: FileDescriptor.duplicate(of: raw))
    }

    func writeFile(_ descriptor: Int32, to raw: Int32) throws {
        let table = try read(descriptor).trimmed(Array(segments.values))
        let out = DescriptorBox(try FileDescriptor.duplicate(of: raw))
        let layout = try table.descriptor.fileLayout()
        _ = try table.descriptor.writeFile(layout, table.segments) { try out.descriptor.writeAll($0, at: $1) }
    }

    func openFile(_ raw: Int32, _ out: UnsafeMutablePointer<ArrowArrayStream>) throws {
        // The number may be any: only this one table knows it.
        let file = try MappedSegment(id: 1, FileDescriptor.duplicate(of: raw))
        try Descriptor(arrowFile: file).open([file], to: out)
    }

    /// A memory file with a descriptor. It isn't sealed: whoever receives it puts in the real number of the output, and seals it.
    private static func file(_ descriptor: [UInt8]) throws(SystemError) -> FileDescriptor {
        let file = try FileDescriptor.memory(named: "zerrow-descriptor", bytes: descriptor.count, sealable: true)
        try file.writeAll(descriptor, at: 0)
        return file
    }

    private func read(_ raw: Int32) throws -> Descriptor {
        let file = try FileDescriptor.duplicate(of: raw)
        return try Descriptor(try file.bytes(0..<(try file.status().bytes)))
    }
}
