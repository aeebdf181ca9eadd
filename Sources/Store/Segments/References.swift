/// The references of a table as they come from a worker: grouped by segment, with nothing but their arithmetic checked.
public struct References: Sendable {
    /// The ranges of one segment.
    struct List: Sendable {
        let segment: SegmentID
        var ranges: [Range<Int>] = []
    }

    private(set) var lists: [List] = []
    private var places: [SegmentID: Int] = [:]
    private var last = -1

    /// No references.
    public init() {}

    /// How many segments are named.
    public var segmentCount: Int { lists.count }

    /// Adds a reference; one of length 0 names nothing. They may overlap, repeat, and come in any order.
    ///
    /// - Parameters:
    ///   - segment: the store's number, not the 0 by which a worker calls its own output.
    ///   - offset: in bytes from the start of the segment.
    ///   - length: in bytes.
    /// - Throws: `badReference` when offset and length make no range at all.
    public mutating func add(_ segment: SegmentID, offset: UInt64, length: UInt64) throws(StoreError) {
        if length == 0 { return }
        let (end, overflow) = offset.addingReportingOverflow(length)
        guard !overflow, let upper = Int(exactly: end), let lower = Int(exactly: offset) else {
            throw StoreError(
                .badReference, segment, "a reference of \(length) bytes at offset \(offset) lies beyond any file")
        }
        if last < 0 || lists[last].segment != segment { last = place(of: segment) }
        lists[last].ranges.append(Range(uncheckedBounds: (lower, upper)))
    }

    /// Brings the ranges into order, and joins those that overlap or touch: what a table names stays the same.
    ///
    /// It takes time in proportion to them, and may be done away from where the store is used.
    public mutating func merge() {
        for index in lists.indices { lists[index].ranges = RangeSet(lists[index].ranges).ranges }
    }

    private mutating func place(of segment: SegmentID) -> Int {
        if let place = places[segment] { return place }
        places[segment] = lists.count
        lists.append(List(segment: segment))
        return lists.count - 1
    }
}
