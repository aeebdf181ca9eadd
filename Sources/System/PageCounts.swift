import CLinux

/// How many pages went which way, all in pages of 4 KiB, and how many ranges did not go at all.
public struct PageCounts: Sendable, Equatable {
    /// Ranges that moved.
    public var ranges: UInt64 = 0
    /// Ranges that KernelZero was asked about and did not take.
    public var refusedRanges: UInt64 = 0
    /// The error number of the last refusal; 0 when there was none.
    public var refusal: Int32 = 0
    /// Moved as they were, one by one.
    public var moved: UInt64 = 0
    /// Moved as a part of a whole 2 MiB page.
    public var movedHuge: UInt64 = 0
    /// Moved on the swap device, unread.
    public var movedSwap: UInt64 = 0
    /// Never written: holes in the file.
    public var holes: UInt64 = 0
    /// Copied, because a range covers them only partly.
    public var copiedEdge: UInt64 = 0
    /// Copied, because another process has them too.
    public var copiedShared: UInt64 = 0
    /// Copied, because the kernel or a device holds them.
    public var copiedPinned: UInt64 = 0
    /// Copied for another reason.
    public var copiedOther: UInt64 = 0

    /// Nothing at all.
    public init() {}

    /// Adds the counts of another move.
    public mutating func add(_ other: PageCounts) {
        ranges += other.ranges
        refusedRanges += other.refusedRanges
        if other.refusal != 0 { refusal = other.refusal }
        moved += other.moved
        movedHuge += other.movedHuge
        movedSwap += other.movedSwap
        holes += other.holes
        copiedEdge += other.copiedEdge
        copiedShared += other.copiedShared
        copiedPinned += other.copiedPinned
        copiedOther += other.copiedOther
    }

    /// The outcomes without a copy.
    private static let wholeWays = KERNELZERO_MOVED.rawValue...KERNELZERO_HOLE.rawValue

    /// Counts a page; false when it was copied, for whatever reason.
    mutating func count(_ page: UInt8) -> Bool {
        switch UInt32(page) {
        case KERNELZERO_MOVED.rawValue: moved += 1
        case KERNELZERO_MOVED_HUGE.rawValue: movedHuge += 1
        case KERNELZERO_MOVED_SWAP.rawValue: movedSwap += 1
        case KERNELZERO_HOLE.rawValue: holes += 1
        case KERNELZERO_COPIED_EDGE.rawValue: copiedEdge += 1
        case KERNELZERO_COPIED_SHARED.rawValue: copiedShared += 1
        case KERNELZERO_COPIED_PINNED.rawValue: copiedPinned += 1
        default: copiedOther += 1
        }
        return Self.wholeWays.contains(UInt32(page))
    }
}
