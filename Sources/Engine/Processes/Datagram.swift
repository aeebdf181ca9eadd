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

    /// A zygote's call to fork a worker.
    static func fork(worker: String, uid: UInt32?, cpus: Int) -> JSONValue {
        var members: [String: JSONValue] = ["worker": .string(worker), "cpus": .integer(Int64(cpus))]
        if let uid { members["uid"] = .integer(Int64(uid)) }
        return message(Op.ToZygote.fork, members)
    }

    /// Read-only segments on their way to a worker, one descriptor per id.
    static func segments(_ ids: some Sequence<UInt64>) -> JSONValue {
        message(Op.ToWorker.segments, ["ids": .array(ids.map { .integer(Int64(clamping: $0)) })])
    }

    /// A table on its way to a worker.
    static func table(input: Int) -> JSONValue {
        message(Op.ToWorker.table, ["input": .integer(Int64(input))])
    }

    /// Whether descriptors that a worker holds were taken out of it.
    static func taken(_ isTaken: Bool) -> JSONValue { message(Op.ToWorker.taken, ["ok": .bool(isTaken)]) }

    /// The answer to `wants`, or a part of it.
    static func pieces(isLast: Bool) -> JSONValue { message(Op.ToWorker.pieces, ["last": .bool(isLast)]) }

    /// The call to run the task.
    ///
    /// - Parameters:
    ///   - decacheBytesMax: the most bytes it may keep for other scans, if it is a scan that asks DeCache.
    ///   - hasCode: whether the project's code is among the descriptors.
    ///   - hasFiles: whether a socket is among them on which a scan gets its files.
    static func run(
        arenaFileBytes: UInt64, arenaBytesMax: UInt64, decacheBytesMax: UInt64?, hasCode: Bool, hasFiles: Bool
    ) -> JSONValue {
        var members: [String: JSONValue] = [
            "arena_file_bytes": .integer(Int64(clamping: arenaFileBytes)),
            "arena_bytes_max": .integer(Int64(clamping: arenaBytesMax)),
        ]
        if hasCode { members["code"] = true }
        if hasFiles { members["files"] = true }
        if let decacheBytesMax {
            members["decache"] = true
            members["decache_bytes_max"] = .integer(Int64(clamping: decacheBytesMax))
        }
        return message(Op.ToWorker.run, members)
    }
}
