import Glibc

/// The name of a system call, as faults and errors name it.
public struct SystemCall: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The name of the call in the Linux manual.
    public let rawValue: String

    /// A call by its name in the Linux manual.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// A call by its name in the Linux manual.
    public init(stringLiteral value: String) { rawValue = value }

    /// The name of the call in the Linux manual.
    public var description: String { rawValue }
}

/// Makes one system call: injects a fault where a test asks for one, repeats on `EINTR`, and throws on a negative result.
///
/// - Parameters:
///   - call: the name that faults and errors use.
///   - context: what was being worked on; only evaluated for an error.
///   - body: makes the call, and leaves `errno` set when it returns a negative value.
/// - Returns: what `body` returned, never negative.
@discardableResult
public func perform<Result: SignedInteger>(
    _ call: SystemCall, _ context: @autoclosure () -> String, _ body: () -> Result
) throws(SystemError) -> Result {
    while true {
        if let code = FaultPlan.code(for: call) {
            if code == EINTR { continue }
            throw SystemError(call, errno: code, context: context())
        }
        let result = body()
        if result >= 0 { return result }
        let code = errno
        if code != EINTR { throw SystemError(call, errno: code, context: context()) }
    }
}
