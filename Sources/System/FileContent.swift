import CLinux
import Glibc

extension SystemCall {
    /// Reading at an offset.
    public static let readAt: SystemCall = "pread"
    /// Writing at an offset.
    public static let writeAt: SystemCall = "pwrite"
    /// Reading from a pipe, a socket or a file.
    public static let read: SystemCall = "read"
    /// Writing to a pipe, a socket or a file.
    public static let write: SystemCall = "write"
    /// Writing several pieces at once.
    public static let writeVector: SystemCall = "writev"
    /// Copying between files inside the kernel.
    public static let copyRange: SystemCall = "copy_file_range"
    /// Sending a file's content to another descriptor inside the kernel.
    public static let sendFile: SystemCall = "sendfile"
}

/// Reading and writing whole amounts: short counts are continued.
extension FileDescriptor {
    /// Fills a buffer from an offset. `EIO`, saying so, when the file ends first.
    public func readAll(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(SystemError) {
        let count = try readUpTo(buffer, at: offset)
        if count < buffer.count {
            let context = "descriptor \(raw): the file ends \(buffer.count - count) bytes early, at \(offset + count)"
            throw SystemError(.readAt, errno: EIO, context: context)
        }
    }

    /// Fills a buffer from an offset as far as the file goes, and returns the count.
    public func readUpTo(_ buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(SystemError) -> Int {
        let raw = self.raw
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let place = off_t(offset + done)
            let count = try perform(.readAt, "descriptor \(raw), offset \(place)") {
                pread(raw, rest.baseAddress, rest.count, place)
            }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// The bytes of a range of the file. `EIO` when the file ends first.
    public func bytes(_ range: Range<Int>) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
            do throws(SystemError) {
                try readAll(UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound)
                count = range.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes a whole buffer at an offset.
    public func writeAll(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws(SystemError) {
        let raw = self.raw
        var done = 0
        while done < buffer.count {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
            let place = off_t(offset + done)
            done += try perform(.writeAt, "descriptor \(raw), offset \(place)") {
                pwrite(raw, rest.baseAddress, rest.count, place)
            }
        }
    }

    /// Writes all bytes at an offset.
    public func writeAll(_ content: [UInt8], at offset: Int) throws(SystemError) {
        try content.withUnsafeBufferPointer { (bytes) throws(SystemError) in
            try writeAll(UnsafeRawBufferPointer(bytes), at: offset)
        }
    }

    /// Reads once, from where the descriptor stands; 0 is the end. `EAGAIN` when it is non-blocking and nothing is there.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SystemError) -> Int {
        let raw = self.raw
        return try perform(.read, "descriptor \(raw)") { Glibc.read(raw, buffer.baseAddress, buffer.count) }
    }

    /// Writes a whole buffer to where the descriptor stands. The caller ignores or blocks SIGPIPE.
    public func writeAll(_ buffer: UnsafeRawBufferPointer) throws(SystemError) {
        let raw = self.raw
        var done = 0
        while done < buffer.count {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[done...])
            done += try perform(.write, "descriptor \(raw)") { Glibc.write(raw, rest.baseAddress, rest.count) }
        }
    }

    /// Writes pieces one after the other to where the descriptor stands, in as few calls as the kernel allows.
    public func writeAll(_ pieces: [UnsafeRawBufferPointer]) throws(SystemError) {
        let raw = self.raw
        var rest = pieces.filter { !$0.isEmpty }.map {
            iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
        }[...]
        while !rest.isEmpty {
            // 1024 is IOV_MAX, which the importer cannot see.
            var count = try perform(.writeVector, "descriptor \(raw)") {
                rest.withUnsafeBufferPointer { writev(raw, $0.baseAddress, Int32(min($0.count, 1024))) }
            }
            while let first = rest.first, count >= first.iov_len {
                count -= first.iov_len
                rest.removeFirst()
            }
            if count > 0, let first = rest.first {
                rest[rest.startIndex] = iovec(iov_base: first.iov_base + count, iov_len: first.iov_len - count)
            }
        }
    }

    /// Copies a range of this file into another one inside the kernel. `EIO`, saying so, when this file ends first.
    public func copy(
        _ range: Range<Int>, to other: borrowing FileDescriptor, at offset: Int
    ) throws(SystemError) {
        let (from, to) = (raw, other.raw)
        var done = 0
        while done < range.count {
            let count = try perform(.copyRange, "descriptors \(from) and \(to)") {
                zerrow_copy_file_range(
                    from, Int64(range.lowerBound + done), to, Int64(offset + done), range.count - done)
            }
            if count == 0 { throw Self.endsEarly(.copyRange, from, range.lowerBound + done) }
            done += count
        }
    }

    /// Sends a range of this file to a pipe, socket or file, where that stands. `EIO`, saying so, when this file ends first.
    public func send(_ range: Range<Int>, to other: borrowing FileDescriptor) throws(SystemError) {
        let (from, to) = (raw, other.raw)
        var place = off_t(range.lowerBound)
        while Int(place) < range.upperBound {
            let count = try perform(.sendFile, "descriptors \(from) and \(to)") {
                sendfile(to, from, &place, range.upperBound - Int(place))
            }
            if count == 0 { throw Self.endsEarly(.sendFile, from, Int(place)) }
        }
    }

    private static func endsEarly(_ call: SystemCall, _ raw: Int32, _ offset: Int) -> SystemError {
        SystemError(call, errno: EIO, context: "descriptor \(raw): the file ends early, at \(offset)")
    }
}
