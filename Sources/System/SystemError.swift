import Glibc

/// A system call that failed: which, why, and on what.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The call that failed.
    public let operation: SystemCall
    /// The error number the kernel gave.
    public let errno: Int32
    /// What was being worked on: a path, a file, a process.
    public let context: String

    /// Describes a failed call.
    public init(_ operation: SystemCall, errno: Int32, context: String) {
        self.operation = operation
        self.errno = errno
        self.context = context
    }

    /// The call, the object, the reason, and what to do where that is known.
    public var description: String {
        let sentence = "\(operation.rawValue) failed on \(context): \(Self.reason(errno))"
        guard let advice else { return sentence }
        return "\(sentence); \(advice)"
    }

    /// The C library's words for an error number.
    public static func reason(_ errno: Int32) -> String {
        // The GNU strerror_r is not importable; the XSI one fills the buffer with a short message.
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let base = buffer.baseAddress, strerror_r(errno, base, buffer.count) == 0 else {
                return "error \(errno)"
            }
            return String(cString: base)
        }
    }

    /// Whether the call works on a disk, not on memory.
    private var isOnDisk: Bool {
        let calls: [SystemCall] = [
            .allocate, .makeUnnamed, .writeback, .synchronize, .close, .write, .writeVector, .sendFile, .copyRange,
        ]
        return calls.contains(operation)
    }

    private var advice: String? {
        switch errno {
        case ENOSPC where isOnDisk, EDQUOT: "free room on that disk, or choose a folder on another"
        case EMFILE: "raise this user's limit of open files (ulimit -n)"
        case ENFILE: "raise the system's limit of open files (sysctl fs.file-max)"
        case ENOSPC, ENOMEM: "free memory, or lower what the run may use"
        case EBUSY where operation == .addSeals: "a process still maps the file for writing; end it first"
        case EPERM where operation == .addSeals: "the file was made without sealing, or is sealed already"
        case EPERM where operation == .punchHole: "the file is sealed against writing"
        case EACCES, EPERM: "check the permissions, and which user runs the engine"
        default: nil
        }
    }
}
