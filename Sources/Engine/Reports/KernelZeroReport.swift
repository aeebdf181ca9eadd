/// How KernelZero moved a result's memory, in pages of 4 KiB.
public struct KernelZeroReport: Codable, Sendable, Equatable {
    /// Ranges that moved: buffers, with adjoining ones joined into one range.
    public var ranges: UInt64
    /// Buffers that the kernel did not take, and that were copied.
    public var refusedRanges: UInt64
    /// Why it did not take the last of them.
    @Nullable public var refusal: String?
    /// Moved one by one.
    public var movedPages: UInt64
    /// Moved as parts of 2 MiB pages.
    public var movedHugePages: UInt64
    /// Moved on the swap device.
    public var movedSwapPages: UInt64
    /// Never written, and still not there.
    public var holePages: UInt64
    /// Copied: a buffer has only a part of them.
    public var copiedEdgePages: UInt64
    /// Copied: another process has them too.
    public var copiedSharedPages: UInt64
    /// Copied: the kernel or a device holds them.
    public var copiedPinnedPages: UInt64
    /// Copied for another reason.
    public var copiedOtherPages: UInt64

    /// The names in a report are those of the worker's message.
    typealias CodingKeys = Op.PageCount
}
