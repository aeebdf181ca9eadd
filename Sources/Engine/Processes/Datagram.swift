import System

/// One datagram of the protocol (`docs/protocol.md`): a JSON object with an `op`, and descriptors beside it.
///
/// A peer's message becomes a typed value where it is read: `ZygoteMessage`, `WorkerMessage`, `ClientMessage`, `ServerMessage`.
struct Datagram {
    let op: String
    let body: JSONValue

    /// Reads what a process sent: nil when it is not an object with an `op`.
    init?(parsing bytes: [UInt8]) {
        guard let body = JSONValue(parsing: bytes), let op = body["op"]?.string else { return nil }
        self.op = op
        self.body = body
    }

    init(_ op: String, _ body: JSONValue) {
        self.op = op
        self.body = body
    }
}

extension Datagram {
    /// A message with an op, and the other members it has.
    static func message<Name: RawRepresentable>(
        _ op: Name, _ members: [String: JSONValue] = [:]
    ) -> JSONValue where Name.RawValue == String {
        .object(members.merging(["op": .string(op.rawValue)]) { _, op in op })
    }
}
