/// How the bytes of a model's result travelled; each byte is in exactly one of the counters.
public struct ByteCounts: Codable, Sendable, Equatable {
    /// References to a table the model read.
    public var resharedBytes: UInt64 = 0
    /// Allocated in the worker's arena, so in a file already.
    public var bornSharedBytes: UInt64 = 0
    /// Moved into a file by KernelZero.
    public var deanonymizedBytes: UInt64 = 0
    /// Small buffers gathered into one place.
    public var packedBytes: UInt64 = 0
    /// Copied.
    public var copiedBytes: UInt64 = 0

    /// No bytes at all.
    public init() {}

    /// The names in a report are those of the worker's message.
    typealias CodingKeys = Op.Count

    /// All of them together; as much as there can be, where a worker says that it is more.
    public var total: UInt64 {
        [resharedBytes, bornSharedBytes, deanonymizedBytes, packedBytes, copiedBytes].reduce(0) { sum, bytes in
            let (total, overflow) = sum.addingReportingOverflow(bytes)
            return overflow ? .max : total
        }
    }
}
