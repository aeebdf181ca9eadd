import Glibc

/// Moving many ranges of this process's memory into a file: in one call, or in as few as the kernel allows.
///
/// Memory that was moved is a private mapping of the file from then on: if an allocator drops its pages, they read as the file's
/// bytes and not as zeros. So it must never be given back to the allocator that it came from.
public struct Deanonymization: Sendable {
    /// Each range leaves up to two more mappings behind, of which a process may have 65,530 by default: half of them are left for
    /// everything else.
    static let rangesMax = 16_384

    /// Where the first byte of each range is in the file; nil if the range is where it was, untouched.
    public private(set) var offsets: [UInt64?]
    /// The bytes of the ranges that moved, less those that were copied on the way.
    public private(set) var movedBytes: UInt64 = 0
    /// The bytes of the ranges that moved and that were copied on the way: they shared a page with something else, as a rule.
    public private(set) var copiedBytes: UInt64 = 0
    /// The size of the file, if anything was moved.
    public private(set) var fileBytes: UInt64?
    /// How many pages went which way.
    public private(set) var pages = PageCounts()

    /// Moves the ranges that can be moved to the end of a shared-memory file. Nothing is half moved: a range is in the file as a
    /// whole, or stays as it is.
    ///
    /// - Parameters:
    ///   - memory: ranges that do not overlap, not empty, in the order of their addresses.
    ///   - file: open for writing, of shared memory.
    public init(_ memory: [UnsafeRawBufferPointer], into file: borrowing FileDescriptor, by kernelZero: KernelZero) {
        let raw = file.raw
        self.init(memory, kernelZero.info) { (ranges, alignsHuge) throws(SystemError) in
            try kernelZero.deanonymize(ranges, into: raw, alignsHuge: alignsHuge)
        }
    }

    /// One call of KernelZero: ranges, and whether to place them so that 2 MiB pages can move whole.
    typealias Call = ([Range<UInt>], _ alignsHuge: Bool) throws(SystemError) -> KernelZero.Answer

    init(_ memory: [UnsafeRawBufferPointer], _ info: KernelZero.Info, _ call: Call) {
        offsets = [UInt64?](repeating: nil, count: memory.count)
        let spans = Self.spans(Self.largest(memory, Self.rangesMax), memory)
        for batch in Self.batches(spans, rangesMax: info.rangesMax, bytesMax: info.bytesMax) {
            guard move(batch, memory, info, call) else { break }
        }
    }

    /// Ranges that touch, and so can go as one.
    struct Span: Equatable {
        /// The addresses.
        var bytes: Range<UInt>
        /// The indexes of the ranges that were joined.
        var members: Range<Int>
    }

    /// The indexes of the largest ranges, in their order.
    static func largest(_ memory: [UnsafeRawBufferPointer], _ countMax: Int) -> [Int] {
        if memory.count <= countMax { return Array(memory.indices) }
        return memory.indices.sorted { memory[$0].count > memory[$1].count }.prefix(countMax).sorted()
    }

    /// Joins ranges that touch: the page on their border is then no edge. Other ranges that share a page stay apart, because the
    /// bytes between them must not be published.
    static func spans(_ indexes: [Int], _ memory: [UnsafeRawBufferPointer]) -> [Span] {
        var spans: [Span] = []
        for index in indexes {
            let start = UInt(bitPattern: memory[index].baseAddress)
            let bytes = start..<start + UInt(memory[index].count)
            if let last = spans.last, last.bytes.upperBound == start, last.members.upperBound == index {
                spans[spans.count - 1].bytes = last.bytes.lowerBound..<bytes.upperBound
                spans[spans.count - 1].members = last.members.lowerBound..<(index + 1)
            } else {
                spans.append(Span(bytes: bytes, members: index..<(index + 1)))
            }
        }
        return spans
    }

    /// Batches that one call can take each; a span that is too large for any call is in none.
    static func batches(_ spans: [Span], rangesMax: UInt64, bytesMax: UInt64) -> [ArraySlice<Span>] {
        if rangesMax == 0 { return [] }
        var batches: [ArraySlice<Span>] = []
        var start = 0
        var bytes: UInt64 = 0
        for (index, span) in spans.enumerated() {
            let count = UInt64(span.bytes.count)
            let isTooMuch = count > bytesMax || bytes > bytesMax - count || UInt64(index - start) >= rangesMax
            if isTooMuch {
                if index > start { batches.append(spans[start..<index]) }
                start = count > bytesMax ? index + 1 : index
                bytes = 0
            }
            if count <= bytesMax { bytes += count }
        }
        if start < spans.count { batches.append(spans[start...]) }
        return batches
    }

    /// Moves a batch; if the kernel can't take some memory of it (a file's, a locked one), moves the rest.
    ///
    /// - Returns: false when the next batch would fail as well: there is no room, or no permission.
    private mutating func move(
        _ batch: ArraySlice<Span>, _ memory: [UnsafeRawBufferPointer], _ info: KernelZero.Info, _ call: Call
    ) -> Bool {
        let ranges = batch.map(\.bytes)
        do throws(SystemError) {
            let answer = try call(ranges, info.movesHugePages && ranges.contains(where: Self.holdsHugePage))
            note(answer, batch, memory)
            return true
        } catch {
            if error.errno == EOPNOTSUPP, let (first, second) = Self.halves(batch, memory) {
                return move(first, memory, info, call) && move(second, memory, info, call)
            }
            pages.refusedRanges += UInt64(batch.count)
            pages.refusal = error.errno
            return error.errno == EOPNOTSUPP
        }
    }

    /// A batch in two parts; nil when it is one range that is not joined from others.
    private static func halves(
        _ batch: ArraySlice<Span>, _ memory: [UnsafeRawBufferPointer]
    ) -> (ArraySlice<Span>, ArraySlice<Span>)? {
        if batch.count > 1 {
            let middle = batch.startIndex + batch.count / 2
            return (batch[..<middle], batch[middle...])
        }
        guard let span = batch.first, span.members.count > 1 else { return nil }
        let middle = span.members.lowerBound + span.members.count / 2
        let border = UInt(bitPattern: memory[middle].baseAddress)
        return (
            [Span(bytes: span.bytes.lowerBound..<border, members: span.members.lowerBound..<middle)],
            [Span(bytes: border..<span.bytes.upperBound, members: middle..<span.members.upperBound)]
        )
    }

    private mutating func note(
        _ answer: KernelZero.Answer, _ batch: ArraySlice<Span>, _ memory: [UnsafeRawBufferPointer]
    ) {
        var page = 0
        for (span, offset) in zip(batch, answer.offsets) {
            for member in span.members {
                offsets[member] = offset + UInt64(UInt(bitPattern: memory[member].baseAddress) - span.bytes.lowerBound)
            }
            let count = Self.pageCount(span.bytes)
            let copied = Self.copiedBytes(span.bytes, answer.pages[page..<page + count], &pages)
            copiedBytes += copied
            movedBytes += UInt64(span.bytes.count) - copied
            page += count
        }
        pages.ranges += UInt64(batch.count)
        fileBytes = answer.fileBytes
    }

    /// How many pages a range touches.
    static func pageCount(_ bytes: Range<UInt>) -> Int {
        bytes.isEmpty ? 0 : Int((bytes.upperBound - 1) / pageBytes - bytes.lowerBound / pageBytes) + 1
    }

    /// The bytes of a range that lie in pages which were copied; counts its pages.
    static func copiedBytes(_ bytes: Range<UInt>, _ pages: ArraySlice<UInt8>, _ counts: inout PageCounts) -> UInt64 {
        var copied: UInt64 = 0
        var start = bytes.lowerBound & ~(pageBytes - 1)
        for page in pages {
            if !counts.count(page) {
                copied += UInt64(bytes.clamped(to: start..<start + pageBytes).count)
            }
            start += pageBytes
        }
        return copied
    }

    /// Whether a whole 2 MiB page fits into a range, so that it is worth placing it like one.
    static func holdsHugePage(_ bytes: Range<UInt>) -> Bool {
        let huge = UInt(Machine.hugePageBytes)
        return bytes.upperBound >= huge && (bytes.lowerBound + huge - 1) & ~(huge - 1) <= bytes.upperBound - huge
    }

    /// The size of the pages that the calls count.
    private static let pageBytes: UInt = 4096
}
