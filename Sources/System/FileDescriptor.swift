import CLinux
import Glibc

extension SystemCall {
    /// Opening a file by name.
    public static let open: SystemCall = "open"
    /// Duplicating a descriptor.
    public static let duplicate: SystemCall = "fcntl(F_DUPFD_CLOEXEC)"
    /// Setting flags of a descriptor.
    public static let setFlags: SystemCall = "fcntl(F_SETFL)"
    /// Making a pipe.
    public static let pipe: SystemCall = "pipe2"
}

/// An open file descriptor with one owner, closed when that owner lets go of it.
public struct FileDescriptor: ~Copyable, Sendable {
    /// The number. It is valid as long as this value lives.
    public let raw: Int32

    /// Takes ownership of an open descriptor.
    public init(owning raw: Int32) {
        precondition(raw >= 0, "a file descriptor is not negative")
        self.raw = raw
    }

    deinit {
        // The number is free again whatever close says; Linux must not be asked twice.
        _ = close(raw)
    }

    /// Gives the number away: the caller closes it.
    public consuming func release() -> Int32 {
        let raw = self.raw
        discard self
        return raw
    }

    /// A second, close-on-exec descriptor of the same open file; it shares offset and flags with this one.
    public func duplicate() throws(SystemError) -> FileDescriptor {
        let raw = self.raw
        return FileDescriptor(owning: try perform(.duplicate, "descriptor \(raw)") { zerrow_duplicate(raw, 3) })
    }

    /// A close-on-exec duplicate of a descriptor that somebody else owns. Its number is no smaller than `numberMin`.
    public static func duplicate(of raw: Int32, numberMin: Int32 = 3) throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try perform(.duplicate, "descriptor \(raw)") { zerrow_duplicate(raw, numberMin) })
    }

    /// Opens a file by name, close-on-exec.
    ///
    /// - Parameters:
    ///   - flags: `O_RDONLY` and so on.
    ///   - mode: the permissions of a file that is made.
    public static func open(
        _ path: String, _ flags: Int32 = O_RDONLY, mode: mode_t = 0o600
    ) throws(SystemError) -> FileDescriptor {
        let raw = try perform(.open, path) { Glibc.open(path, flags | O_CLOEXEC, mode) }
        return FileDescriptor(owning: raw)
    }

    /// A descriptor of the same file that can only read, with an offset of its own.
    ///
    /// Unlike a duplicate it cannot be mapped for writing. The file's permissions decide whether it can be opened again
    /// for writing, as `open` through `/proc` checks them anew.
    public func reopenReadOnly() throws(SystemError) -> FileDescriptor {
        try FileDescriptor.open("/proc/self/fd/\(raw)", O_RDONLY)
    }

    /// Makes reads and writes that would wait fail with `EAGAIN` instead. It applies to every duplicate too.
    public func setNonBlocking() throws(SystemError) {
        let raw = self.raw
        try perform(.setFlags, "descriptor \(raw)") { () -> Int32 in
            let flags = fcntl(raw, F_GETFL)
            return flags < 0 ? flags : fcntl(raw, F_SETFL, flags | O_NONBLOCK)
        }
    }
}

/// A file descriptor with several owners: closed when the last one lets go of the box.
public final class DescriptorBox: Sendable {
    /// The descriptor; borrow it, it stays in the box.
    public let descriptor: FileDescriptor

    /// Takes ownership of a descriptor.
    public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// The number. It is valid as long as the box lives.
    public var raw: Int32 { descriptor.raw }

    /// Both ends of a close-on-exec pipe.
    public static func pipe() throws(SystemError) -> (reading: DescriptorBox, writing: DescriptorBox) {
        var ends: (Int32, Int32) = (-1, -1)
        try perform(.pipe, "a new pipe") {
            withUnsafeMutableBytes(of: &ends) { zerrow_pipe($0.assumingMemoryBound(to: Int32.self).baseAddress) }
        }
        return (DescriptorBox(FileDescriptor(owning: ends.0)), DescriptorBox(FileDescriptor(owning: ends.1)))
    }
}

extension FileDescriptor {
    /// How many descriptors this process may have now.
    public static var limit: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return 0 }
        return Int(clamping: limit.rlim_cur)
    }

    /// Lets this process, and those it starts, have as many descriptors as the system allows it without privilege.
    public static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        _ = firstLimit
        limit.rlim_cur = limit.rlim_max
        // If the limit can't be raised, it stays as it is.
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// The limit that this process was started with, for programs that it starts for others: some can't use more than 1024.
    private static let firstLimit: rlim_t = {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit.rlim_cur
    }()

    /// Starts something with the limit that this process was started with. Other threads have it meanwhile.
    public static func withFirstLimit<Value, Failure: Error>(
        _ start: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return try start() }
        var first = limit
        first.rlim_cur = min(firstLimit, limit.rlim_max)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &first)
        defer { setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) }
        return try start()
    }
}
