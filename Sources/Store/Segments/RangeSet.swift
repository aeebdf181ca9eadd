import System

/// A set of byte offsets, as sorted ranges that neither overlap nor touch.
public struct RangeSet: Sendable, Equatable {
    /// The ranges: none is empty, each ends before the next begins.
    public private(set) var ranges: [Range<Int>]

    /// The empty set.
    public init() { ranges = [] }

    /// The union of ranges in any order, overlapping or not. O(n log n); O(n) when they are sorted.
    public init(_ ranges: [Range<Int>]) {
        var sorted = ranges
        let isSorted = zip(sorted, sorted.dropFirst()).allSatisfy { $0.lowerBound <= $1.lowerBound }
        if !isSorted { sorted.sort { $0.lowerBound < $1.lowerBound } }
        self.ranges = []
        self.ranges.reserveCapacity(sorted.count)
        for range in sorted { append(range) }
    }

    /// Whether nothing is in it.
    public var isEmpty: Bool { ranges.isEmpty }

    /// How many bytes are in it.
    public var bytes: Int { ranges.reduce(0) { $0 + $1.count } }

    /// The smallest range that holds it all; nil when it is empty.
    public var bounds: Range<Int>? {
        guard let first = ranges.first, let last = ranges.last else { return nil }
        return first.lowerBound..<last.upperBound
    }

    /// Adds a range that does not begin before the last one.
    mutating func append(_ range: Range<Int>) {
        if range.isEmpty { return }
        guard let last = ranges.last, range.lowerBound <= last.upperBound else {
            ranges.append(range)
            return
        }
        if range.upperBound > last.upperBound {
            ranges[ranges.count - 1] = Range(uncheckedBounds: (last.lowerBound, range.upperBound))
        }
    }

    /// The bytes that are in either set. O(n + m).
    public func union(_ other: RangeSet) -> RangeSet {
        if isEmpty { return other }
        if other.isEmpty { return self }
        var result = RangeSet()
        result.ranges.reserveCapacity(max(ranges.count, other.ranges.count))
        var (i, j) = (0, 0)
        while i < ranges.count || j < other.ranges.count {
            let takeMine =
                j == other.ranges.count
                || (i < ranges.count && ranges[i].lowerBound <= other.ranges[j].lowerBound)
            if takeMine {
                result.append(ranges[i])
                i += 1
            } else {
                result.append(other.ranges[j])
                j += 1
            }
        }
        return result
    }

    /// The bytes that are in this set and not in the other. O(n + m).
    public func subtracting(_ other: RangeSet) -> RangeSet {
        if isEmpty || other.isEmpty { return self }
        var result = RangeSet()
        var j = 0
        for range in ranges {
            var start = range.lowerBound
            while j < other.ranges.count, other.ranges[j].upperBound <= start { j += 1 }
            var k = j
            while k < other.ranges.count, other.ranges[k].lowerBound < range.upperBound {
                if other.ranges[k].lowerBound > start { result.append(start..<other.ranges[k].lowerBound) }
                start = other.ranges[k].upperBound
                k += 1
            }
            if start < range.upperBound { result.append(start..<range.upperBound) }
        }
        return result
    }

    /// The bytes that are in both sets. O(n + m).
    public func intersection(_ other: RangeSet) -> RangeSet { subtracting(subtracting(other)) }

    /// All pages that have a byte in the set.
    func inWholePages() -> RangeSet {
        let page = Machine.pageBytes
        return RangeSet(ranges.map { $0.lowerBound & ~(page - 1)..<($0.upperBound + page - 1) & ~(page - 1) })
    }

    /// More ranges than this are put together to pages: memory is given back in pages, and a table of a million batches must not take a
    /// hundred megabytes to keep in mind.
    static let rangesMax = 1 << 16

    /// The set, or if it has very many ranges all of their pages that lie in another set, which holds it.
    func coarse(in other: RangeSet) -> RangeSet {
        ranges.count <= Self.rangesMax ? self : inWholePages().intersection(other)
    }

    /// The gaps between the ranges within a bound that holds them all, in order.
    func gaps(in bound: Range<Int>) -> RangeSet { RangeSet([bound]).subtracting(self) }

    /// The range that holds the given one whole; nil when there is none. O(log n).
    func index(holding range: Range<Int>) -> Int? {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound <= range.lowerBound { low = middle + 1 } else { high = middle }
        }
        guard low < ranges.count, ranges[low].lowerBound <= range.lowerBound,
            ranges[low].upperBound >= range.upperBound
        else { return nil }
        return low
    }
}
