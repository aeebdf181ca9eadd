/// How much memory an engine's workers and tables hold, at one moment.
public struct MemoryStatus: Codable, Sendable, Equatable {
    /// What they hold in RAM, in bytes; each byte once, whoever shares it.
    public var bytes: UInt64
    /// What they may hold, in bytes; nil: what the machine has.
    public var bytesMax: UInt64?
    /// Tables on disk, in bytes.
    public var spilledBytes: UInt64
    /// What each running model's worker holds, in bytes; its result is part of it.
    public var workers: [String: UInt64]

    enum CodingKeys: String, CodingKey {
        case bytes, workers
        case bytesMax = "bytes_max"
        case spilledBytes = "spilled_bytes"
    }
}
