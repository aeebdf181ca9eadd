import System

/// A published table: the ranges it names, and who needs it.
struct Table {
    /// The sealed SIPC descriptor; opaque here.
    var descriptor: DescriptorBox
    /// The ranges it names, by segment.
    var named: [SegmentID: RangeSet]
    /// The workers that may be reading it.
    var readers: Set<BorrowerID> = []
    /// Whether the engine has released it; it then goes with its last reader.
    var isReleased = false
}

/// A table lent to a worker: the files that have to be sent to it.
public struct Loan: Sendable {
    /// The SIPC descriptor.
    public let descriptor: DescriptorBox
    /// The segments that the table names, in ascending order, as descriptors that can only read.
    public let segments: [(id: SegmentID, file: DescriptorBox)]
}

/// The segment that a worker gets for its output.
public struct OutputSegment: Sendable {
    /// The number it has in the store; the worker calls it 0.
    public let id: SegmentID
    /// The file, for reading and writing. All zero.
    public let file: DescriptorBox
    /// The size, holes included, a multiple of 2 MiB.
    public let bytes: Int
    /// How much of it is recycled memory: there already, faulted in.
    public let recycledBytes: Int
}
