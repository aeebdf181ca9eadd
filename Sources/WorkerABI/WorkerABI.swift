import CArrow
import Glibc
import SIPC
import System

// The C ABI; zerrow_worker.h is its documentation.

/// Version of the C ABI.
@c(zerrow_abi_version)
public func abiVersion() -> UInt32 { 2 }

/// Makes a session; `zerrow_session_free` frees it.
@c(zerrow_session_new)
public func sessionNew() -> UnsafeMutableRawPointer? { Unmanaged.passRetained(Session()).toOpaque() }

/// Frees a session.
@c(zerrow_session_free)
public func sessionFree(_ raw: UnsafeMutableRawPointer?) {
    if let raw { Unmanaged<Session>.fromOpaque(raw).release() }
}

/// The message of the last failure.
@c(zerrow_session_error)
public func sessionError(_ raw: UnsafeMutableRawPointer?) -> UnsafePointer<CChar>? { session(raw)?.error }

/// Maps an input segment; takes `fd`.
@c(zerrow_session_segment)
public func sessionSegment(_ raw: UnsafeMutableRawPointer?, _ id: UInt64, _ fd: Int32) -> Int32 {
    guard fd >= 0 else { return -EBADF }
    // Owned here, so that it is closed whatever happens.
    let file = FileDescriptor(owning: fd)
    guard let session = session(raw) else { return -EINVAL }
    return session.call { try session.addSegment(id, file.duplicate()) }
}

/// Takes the output segment and `fd`.
@c(zerrow_session_output)
public func sessionOutput(_ raw: UnsafeMutableRawPointer?, _ fd: Int32, _ fileBytes: UInt64, _ bytesMax: UInt64)
    -> Int32
{
    guard fd >= 0 else { return -EBADF }
    // Owned here, so that it is closed whatever happens.
    let file = FileDescriptor(owning: fd)
    guard let session = session(raw) else { return -EINVAL }
    return session.call { try session.setOutput(file.duplicate(), fileBytes: fileBytes, bytesMax: bytesMax) }
}

/// Has memory moved by KernelZero from now on; takes `fd`.
@c(zerrow_session_kernelzero)
public func sessionKernelZero(_ raw: UnsafeMutableRawPointer?, _ fd: Int32) -> Int32 {
    guard fd >= 0 else { return -EBADF }
    // Owned here, so that it is closed whatever happens.
    let device = FileDescriptor(owning: fd)
    guard let session = session(raw) else { return -EINVAL }
    return session.call { try session.setKernelZero(device.duplicate()) }
}

/// Opens the table of a descriptor.
@c(zerrow_session_open)
public func sessionOpen(
    _ raw: UnsafeMutableRawPointer?, _ descriptor: Int32, _ out: UnsafeMutablePointer<ArrowArrayStream>?
) -> Int32 {
    guard let session = session(raw), let out else { return -EINVAL }
    return session.call { try session.open(descriptor, out) }
}

/// Publishes a stream; releases it.
@c(zerrow_session_publish)
public func sessionPublish(
    _ raw: UnsafeMutableRawPointer?, _ stream: UnsafeMutablePointer<ArrowArrayStream>?,
    _ counts: UnsafeMutablePointer<UInt64>?, _ descriptor: UnsafeMutablePointer<Int32>?
) -> Int32 {
    guard let session = session(raw), let stream, let counts, let descriptor else { return -EINVAL }
    // The publisher moves the stream away; if it was not reached, the stream is released here.
    defer { if let release = stream.pointee.release { release(stream) } }
    return session.call {
        let (file, travelled) = try session.publish(stream)
        descriptor.pointee = file
        store(travelled, in: counts)
    }
}

/// Publishes a stream batch by batch into a file on a disk; releases it.
@c(zerrow_session_publish_to_disk)
public func sessionPublishToDisk(
    _ raw: UnsafeMutableRawPointer?, _ stream: UnsafeMutablePointer<ArrowArrayStream>?, _ disk: Int32, _ id: UInt64,
    _ counts: UnsafeMutablePointer<UInt64>?, _ descriptor: UnsafeMutablePointer<Int32>?
) -> Int32 {
    guard let session = session(raw), let stream, let counts, let descriptor else { return -EINVAL }
    // The publisher moves the stream away; if it was not reached, the stream is released here.
    defer { if let release = stream.pointee.release { release(stream) } }
    return session.call {
        let (file, travelled) = try session.publish(stream, toDisk: disk, as: id)
        descriptor.pointee = file
        store(travelled, in: counts)
    }
}

/// Fills in a struct zerrow_counts, which is these eight numbers.
private func store(_ travelled: PublishCounts, in counts: UnsafeMutablePointer<UInt64>) {
    let fields = [
        travelled.rows, travelled.batches, travelled.bytes, travelled.resharedBytes, travelled.bornSharedBytes,
        travelled.deanonymizedBytes, travelled.packedBytes, travelled.copiedBytes,
    ]
    for (index, field) in fields.enumerated() { counts[index] = field }
}

/// Makes a published table's descriptor anew, with the output's present size.
@c(zerrow_session_refresh)
public func sessionRefresh(_ raw: UnsafeMutableRawPointer?, _ descriptor: Int32, _ fresh: UnsafeMutablePointer<Int32>?)
    -> Int32
{
    guard let session = session(raw), let fresh else { return -EINVAL }
    return session.call { fresh.pointee = try session.refresh(descriptor) }
}

/// Reports how the pages of moved memory went.
@c(zerrow_session_pages)
public func sessionPages(_ raw: UnsafeMutableRawPointer?, _ counts: UnsafeMutablePointer<UInt64>?) -> Int32 {
    guard let session = session(raw), let counts else { return -EINVAL }
    let pages = session.pages
    // struct zerrow_pages is these eleven numbers.
    let fields = [
        pages.ranges, pages.refusedRanges, UInt64(pages.refusal), pages.moved, pages.movedHuge, pages.movedSwap,
        pages.holes, pages.copiedEdge, pages.copiedShared, pages.copiedPinned, pages.copiedOther,
    ]
    for (index, field) in fields.enumerated() { counts[index] = field }
    return 0
}

/// Writes the table of a descriptor as a standard Arrow IPC stream.
@c(zerrow_session_write_stream)
public func sessionWriteStream(_ raw: UnsafeMutableRawPointer?, _ descriptor: Int32, _ out: Int32) -> Int32 {
    guard let session = session(raw) else { return -EINVAL }
    return session.call { try session.writeStream(descriptor, to: out) }
}

/// Writes the table of a descriptor as a standard Arrow IPC file.
@c(zerrow_session_write_file)
public func sessionWriteFile(_ raw: UnsafeMutableRawPointer?, _ descriptor: Int32, _ out: Int32) -> Int32 {
    guard let session = session(raw) else { return -EINVAL }
    return session.call { try session.writeFile(descriptor, to: out) }
}

/// Opens an Arrow IPC file.
@c(zerrow_session_open_file)
public func sessionOpenFile(
    _ raw: UnsafeMutableRawPointer?, _ fd: Int32, _ out: UnsafeMutablePointer<ArrowArrayStream>?
) -> Int32 {
    guard let session = session(raw), let out else { return -EINVAL }
    return session.call { try session.openFile(fd, out) }
}

private func session(_ raw: UnsafeMutableRawPointer?) -> Session? {
    raw.map { Unmanaged<Session>.fromOpaque($0).takeUnretainedValue() }
}
