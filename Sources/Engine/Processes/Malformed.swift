/// The error for bytes from another process that the protocol doesn't allow; in words that follow "it sent".
struct Malformed: Error, Equatable, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

extension Malformed {
    /// An op that nobody knows; it comes from outside, so it is cut short where people see it.
    static func unknown(_ op: String) -> Malformed { Malformed("an unknown message '\(op.prefix(40))'") }
}
