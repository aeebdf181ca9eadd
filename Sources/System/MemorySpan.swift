/// Ranges of this process's memory that are neighbours, and so can go into a file as one.
public struct MemorySpan: Sendable, Equatable {
    /// The addresses, from the first range's beginning to the last one's end.
    public let bytes: Range<UInt>
    /// Which of the ranges these are.
    public let members: Range<Int>

    /// Buffers begin at multiples of this, so a gap that is not smaller is more than padding.
    static let gapBytesMax = 64

    /// Some ranges that are neighbours.
    init(_ members: Range<Int>, of memory: [UnsafeRawBufferPointer]) {
        bytes =
            Self.addresses(memory[members.lowerBound])
            .lowerBound..<Self.addresses(memory[members.upperBound - 1]).upperBound
        self.members = members
    }

    /// Joins ranges with nothing between them but padding: less than 64 bytes, which are all zero.
    ///
    /// The border of two ranges is then no edge, and small ranges are worth moving together. Where anything else lies between
    /// two, they stay apart: it is not to be published.
    ///
    /// - Parameters:
    ///   - memory: ranges that do not overlap, not empty, in the order of their addresses.
    ///   - bytesMax: no span becomes longer by joining.
    public static func join(_ memory: [UnsafeRawBufferPointer], bytesMax: UInt64 = .max) -> [MemorySpan] {
        var spans: [MemorySpan] = []
        var first = 0
        for index in memory.indices {
            let isLast = index + 1 == memory.count
            if !isLast, isPadding(after: memory[index], before: memory[index + 1]) {
                let joined = addresses(memory[index + 1]).upperBound - addresses(memory[first]).lowerBound
                if UInt64(joined) <= bytesMax { continue }
            }
            spans.append(MemorySpan(first..<index + 1, of: memory))
            first = index + 1
        }
        return spans
    }

    static func addresses(_ memory: UnsafeRawBufferPointer) -> Range<UInt> {
        let start = UInt(bitPattern: memory.baseAddress)
        return start..<start + UInt(memory.count)
    }

    /// A gap so small lies in pages that the two ranges have bytes in, so that it can be read.
    private static func isPadding(after: UnsafeRawBufferPointer, before: UnsafeRawBufferPointer) -> Bool {
        let gap = addresses(before).lowerBound - addresses(after).upperBound
        guard gap < UInt(gapBytesMax), let end = after.baseAddress else { return false }
        return UnsafeRawBufferPointer(start: end + after.count, count: Int(gap)).allSatisfy { $0 == 0 }
    }
}
