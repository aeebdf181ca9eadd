import Glibc
import System

/// What has to be done to a segment so that nothing but named bytes is left in it.
///
/// Pages no reference names are punched out, and unnamed bytes of pages that stay are zeroed. Punching a part of a 2 MiB page
/// splits it into 4 KiB pages, which readers pay for with page faults; so where few bytes of a 2 MiB range are unnamed
/// they are zeroed instead and their memory is kept.
struct Trim: Equatable {
    /// The most unnamed bytes of a 2 MiB range that are zeroed rather than punched out: it bounds what is kept in vain to
    /// a seventh of what is named, and costs about as much time as a split (`docs/decisions/segments-trim.md`).
    static let zeroedBytesMax = 256 << 10

    /// Ranges of whole pages to free.
    private(set) var punched = RangeSet()
    /// Ranges to zero where they are not a hole.
    private(set) var zeroed = RangeSet()

    /// Plans a trim.
    ///
    /// - Parameters:
    ///   - named: what stays.
    ///   - windows: where to look, in ranges that begin and end at multiples of 2 MiB; what is outside stays as it is.
    init(named: RangeSet, windows: RangeSet) {
        var block = Block()
        for gap in windows.subtracting(named).ranges { add(gap, &block) }
        flush(&block)
    }

    /// The 2 MiB range at hand, with the gaps that fill it partly.
    private struct Block {
        var start = -1
        var pageGaps: [Range<Int>] = []
        var pageGapBytes = 0
        var edges: [Range<Int>] = []
    }

    private mutating func add(_ gap: Range<Int>, _ block: inout Block) {
        let huge = Machine.hugePageBytes
        let firstWhole = (gap.lowerBound + huge - 1) & ~(huge - 1)
        let endWhole = gap.upperBound & ~(huge - 1)
        if firstWhole >= endWhole {
            // No whole 2 MiB range: one part, or two on either side of a border.
            if endWhole > gap.lowerBound { addPart(gap.lowerBound..<endWhole, &block) }
            addPart(max(gap.lowerBound, endWhole)..<gap.upperBound, &block)
            return
        }
        addPart(gap.lowerBound..<firstWhole, &block)
        flush(&block)
        punched.append(firstWhole..<endWhole)
        addPart(endWhole..<gap.upperBound, &block)
    }

    private mutating func addPart(_ part: Range<Int>, _ block: inout Block) {
        if part.isEmpty { return }
        let start = part.lowerBound & ~(Machine.hugePageBytes - 1)
        if start != block.start {
            flush(&block)
            block.start = start
        }
        let page = Machine.pageBytes
        let firstPage = (part.lowerBound + page - 1) & ~(page - 1)
        let endPage = part.upperBound & ~(page - 1)
        if firstPage >= endPage {
            block.edges.append(part)
            return
        }
        if part.lowerBound < firstPage { block.edges.append(part.lowerBound..<firstPage) }
        block.pageGaps.append(firstPage..<endPage)
        block.pageGapBytes += endPage - firstPage
        if endPage < part.upperBound { block.edges.append(endPage..<part.upperBound) }
    }

    private mutating func flush(_ block: inout Block) {
        if block.pageGapBytes <= Self.zeroedBytesMax {
            // In the order of the file: page gaps and edges are each sorted, and merge here.
            zeroed.append(sorted: block.edges, block.pageGaps)
        } else {
            for gap in block.pageGaps { punched.append(gap) }
            zeroed.append(sorted: block.edges, [])
        }
        block.pageGaps.removeAll(keepingCapacity: true)
        block.edges.removeAll(keepingCapacity: true)
        block.pageGapBytes = 0
    }

    /// Frees the unnamed pages. Can be repeated after a failure.
    func punch(_ file: borrowing FileDescriptor) throws(SystemError) {
        for range in punched.ranges { try file.punchHole(range) }
    }

    /// Zeroes the unnamed bytes of pages that stay. Can be repeated after a failure.
    ///
    /// The file must not shrink meanwhile (its only writer is the caller): it is written through a mapping, which is gone
    /// when this returns.
    func zero(_ file: borrowing FileDescriptor) throws(SystemError) {
        guard let bounds = zeroed.bounds else { return }
        let page = Machine.pageBytes
        let start = bounds.lowerBound & ~(page - 1)
        let mapping = try Mapping(
            file, offset: start, count: bounds.upperBound - start, access: .readWrite)
        var finder = DataFinder(readsAhead: zeroed.ranges.count > 1024)
        for range in zeroed.ranges {
            var place = range.lowerBound
            while place < range.upperBound {
                // A hole stays one: touching it would take a page only to zero it.
                let stop = min(range.upperBound, (place & ~(page - 1)) + page)
                if try finder.isData(file, page: place & ~(page - 1)) {
                    memset(mapping.base + (place - start), 0, stop - place)
                }
                place = stop
            }
        }
        withExtendedLifetime(mapping) {}
    }
}

extension RangeSet {
    /// Adds the ranges of two sorted lists, which do not overlap, in the order of the file.
    fileprivate mutating func append(sorted first: [Range<Int>], _ second: [Range<Int>]) {
        var j = 0
        for range in first {
            while j < second.count, second[j].lowerBound < range.lowerBound {
                append(second[j])
                j += 1
            }
            append(range)
        }
        for range in second[j...] { append(range) }
    }
}

/// Tells data pages of a file from holes, asking the kernel as seldom as it can. Pages are asked for in ascending order.
private struct DataFinder {
    /// Whether to ask where a stretch of data ends: one walk over all pages, worth it for many questions only.
    let readsAhead: Bool
    private var data = 0..<0
    private var hole = 0..<0

    init(readsAhead: Bool) { self.readsAhead = readsAhead }

    mutating func isData(_ file: borrowing FileDescriptor, page: Int) throws(SystemError) -> Bool {
        if data.contains(page) { return true }
        if hole.contains(page) { return false }
        let next = try file.nextDataStart(from: page)
        if next != page {
            hole = page..<(next ?? .max)
            return false
        }
        data = page..<page + Machine.pageBytes
        if readsAhead { data = page..<(try file.nextHoleStart(from: page)) }
        return true
    }
}
