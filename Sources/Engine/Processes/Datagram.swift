import System

/// One datagram of the protocol (`docs/protocol.md`): a JSON object with an `op`, and descriptors beside it.
struct Datagram {
    /// The most bytes a datagram may have.
    static let bytesMax = 128 * 1024
    /// The most descriptors that travel with one datagram.
    static let descriptorsMax = 200

    let op: String
    let body: JSONValue

    /// Reads what a process sent: nil when it is not an object with an `op`.
    init?(parsing bytes: [UInt8]) {
        guard let body = JSONValue(parsing: bytes), let op = body["op"]?.string else { return nil }
        self.op = op
        self.body = body
    }
}

extension Datagram {
    /// A zygote's call to fork a worker.
    static func fork(worker: String, uid: UInt32?, cpus: Int) -> JSONValue {
        var members: [String: JSONValue] = [
            "op": "fork", "worker": .string(worker), "cpus": .integer(Int64(cpus)),
        ]
        if let uid { members["uid"] = .integer(Int64(uid)) }
        return .object(members)
    }

    /// Read-only segments on their way to a worker, one descriptor per id.
    static func segments(_ ids: some Sequence<UInt64>) -> JSONValue {
        ["op": "segments", "ids": .array(ids.map { .integer(Int64($0)) })]
    }

    /// A table on its way to a worker.
    static func table(input: Int) -> JSONValue {
        ["op": "table", "input": .integer(Int64(input))]
    }

    /// The call to run the task.
    ///
    /// - Parameters:
    ///   - decacheBytesMax: what it may keep for other scans, if it asks DeCache for what it scans.
    ///   - hasCode: whether the project's code is among the descriptors.
    ///   - hasFiles: whether a socket is among them on which a scan gets its files.
    static func run(
        arenaFileBytes: UInt64, arenaBytesMax: UInt64, decacheBytesMax: UInt64?, hasCode: Bool, hasFiles: Bool
    ) -> JSONValue {
        var members: [String: JSONValue] = [
            "op": "run", "arena_file_bytes": .integer(Int64(arenaFileBytes)),
            "arena_bytes_max": .integer(Int64(clamping: arenaBytesMax)),
        ]
        if hasCode { members["code"] = true }
        if hasFiles { members["files"] = true }
        if let decacheBytesMax {
            members["decache"] = true
            members["decache_bytes_max"] = .integer(Int64(clamping: decacheBytesMax))
        }
        return .object(members)
    }

    /// The counters of a `published` message; nil when one is missing or negative.
    var counts: ByteCounts? {
        guard let counts = body["counts"] else { return nil }
        func count(_ key: String) -> UInt64? {
            counts[key]?.integer.flatMap { UInt64(exactly: $0) }
        }
        guard let reshared = count("reshared_bytes"), let bornShared = count("born_shared_bytes"),
            let deanonymized = count("deanonymized_bytes"), let packed = count("packed_bytes"),
            let copied = count("copied_bytes")
        else { return nil }
        var result = ByteCounts()
        result.resharedBytes = reshared
        result.bornSharedBytes = bornShared
        result.deanonymizedBytes = deanonymized
        result.packedBytes = packed
        result.copiedBytes = copied
        return result
    }

    /// How the pages of a published table were moved; nil when none were to be, or the account is broken.
    var moves: KernelZeroReport? {
        guard let moves = body["kernelzero"] else { return nil }
        func count(_ key: String) -> UInt64? {
            moves[key]?.integer.flatMap { UInt64(exactly: $0) }
        }
        guard let ranges = count("ranges"), let refusedRanges = count("refused_ranges"),
            let refusal = count("refusal"), let moved = count("moved_pages"),
            let movedHuge = count("moved_huge_pages"), let movedSwap = count("moved_swap_pages"),
            let holes = count("hole_pages"), let edge = count("copied_edge_pages"),
            let shared = count("copied_shared_pages"), let pinned = count("copied_pinned_pages"),
            let other = count("copied_other_pages")
        else { return nil }
        return KernelZeroReport(
            ranges: ranges, refusedRanges: refusedRanges,
            refusal: refusal == 0 ? nil : SystemError.reason(Int32(clamping: refusal)), movedPages: moved,
            movedHugePages: movedHuge, movedSwapPages: movedSwap, holePages: holes, copiedEdgePages: edge,
            copiedSharedPages: shared, copiedPinnedPages: pinned, copiedOtherPages: other)
    }

    /// What came from DeCache and went there; nil when it was not used, or the account is broken.
    var decache: DeCacheReport? {
        guard let body = body["decache"], let wanted = body["wanted_units"]?.integer,
            let reused = body["reused_units"]?.integer, let decoded = body["decoded_units"]?.integer,
            let bytes = body["pieces_bytes"]?.integer
        else { return nil }
        return DeCacheReport(wantedUnits: wanted, reusedUnits: reused, decodedUnits: decoded, piecesBytes: bytes)
    }

    /// The worker's own account of where its time went, in milliseconds.
    var timing: [String: Double] {
        var result: [String: Double] = [:]
        for key in ["open_ms", "user_ms", "publish_ms", "user_at_ms", "publish_at_ms"] {
            if let value = body["timing"]?[key]?.number, value.isFinite { result[key] = value }
        }
        return result
    }
}
