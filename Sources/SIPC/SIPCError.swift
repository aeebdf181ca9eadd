#if canImport(Glibc)
    import Glibc
#endif

/// Why a descriptor could not be read or a table could not be published.
public struct SIPCError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Sendable, Equatable {
        /// The bytes do not follow the format.
        case malformed
        /// The bytes are right, but use something zerrow does not read (a compressed body, a delta dictionary).
        case unsupported
        /// The model's result is not a table, or breaks the Arrow C interface.
        case invalidTable
        /// The output segment has no room left.
        case full
        /// A system call or a foreign stream failed.
        case system
    }

    /// What kind of failure it is.
    public let code: Code
    /// The errno beneath it, positive.
    public let errno: Int32
    /// What was wrong, and where.
    public let message: String

    init(_ code: Code, errno: Int32 = EINVAL, _ message: String) {
        self.code = code
        self.errno = errno
        self.message = message
    }

    static func malformed(_ message: String) -> SIPCError { SIPCError(.malformed, "bad SIPC descriptor: " + message) }

    static func invalidTable(_ message: String) -> SIPCError { SIPCError(.invalidTable, message) }

    /// The message.
    public var description: String { message }
}

extension SIPCError {
    /// The output segment has no room for `bytes` more.
    public static func outputFull(_ bytes: Int, errno: Int32) -> SIPCError {
        SIPCError(
            .full, errno: errno,
            "the output segment has no room for \(bytes) more bytes: the model needs a larger memory limit")
    }

    /// A call that is out of order, by the caller's own mistake.
    public static func misuse(_ errno: Int32, _ message: String) -> SIPCError {
        SIPCError(.system, errno: errno, message)
    }
}
