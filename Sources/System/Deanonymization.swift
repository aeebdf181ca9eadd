import Glibc

/// Moving many ranges of this process's memory into a file: in one call, or in as few as the kernel allows.
///
/// Memory that was moved is a private mapping of the file from then on: if an allocator drops its pages, they read as the file's
/// bytes and not as zeros. So it must never be given back to the allocator that it came from.
public struct Deanonymization: Sendable {
    /// Each range leaves up to two more mappings behind, of which a process may have 65,530 by default: half of them are left for
    /// everything else.
    static let rangesMax = 16_384

    /// A call keeps the caller's memory locked, for about 50 million instructions for each GiB: much memory goes in several. One
    /// range that is larger still goes by itself, as it can't be in the file in two parts.
    static let callBytesMax: UInt64 = 4 << 30

    /// Where the first byte of each range is in the file; nil: it is where it was, untouched.
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
        let spans = Self.largest(MemorySpan.join(memory, bytesMax: Self.callBytesMax), Self.rangesMax)
        for batch in Self.batches(spans, rangesMax: info.rangesMax, bytesMax: info.bytesMax) {
            guard move(batch, memory, info, call) else { break }
        }
    }

    /// The largest spans, in their order.
    static func largest(_ spans: [MemorySpan], _ countMax: Int) -> [MemorySpan] {
        if spans.count <= countMax { return spans }
        let chosen = spans.indices.sorted { spans[$0].bytes.count > spans[$1].bytes.count }.prefix(countMax).sorted()
        return chosen.map { spans[$0] }
    }

    /// Parts that one call can take; what is too large for any call is in none.
    static func batches(_ spans: [MemorySpan], rangesMax: UInt64, bytesMax: UInt64) -> [ArraySlice<MemorySpan>] {
        if rangesMax == 0 { return [] }
        let fullBytes = min(bytesMax, callBytesMax)
        var batches: [ArraySlice<MemorySpan>] = []
        var start = 0
        var bytes: UInt64 = 0
        for (index, span) in spans.enumerated() {
            let count = UInt64(span.bytes.count)
            let isFull = count > fullBytes || bytes > fullBytes - count
            let isTooMuch = count > bytesMax || (isFull && index > start) || UInt64(index - start) >= rangesMax
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
        _ batch: ArraySlice<MemorySpan>, _ memory: [UnsafeRawBufferPointer], _ info: KernelZero.Info, _ call: Call
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
        _ batch: ArraySlice<MemorySpan>, _ memory: [UnsafeRawBufferPointer]
    ) -> (ArraySlice<MemorySpan>, ArraySlice<MemorySpan>)? {
        if batch.count > 1 {
            let middle = batch.startIndex + batch.count / 2
            return (batch[..<middle], batch[middle...])
        }
        guard let span = batch.first, span.members.count > 1 else { return nil }
        let middle = span.members.lowerBound + span.members.count / 2
        return (
            [MemorySpan(span.members.lowerBound..<middle, of: memory)],
            [MemorySpan(middle..<span.members.upperBound, of: memory)]
        )
    }

    private mutating func note(
        _ answer: KernelZero.Answer, _ batch: ArraySlice<MemorySpan>, _ memory: [UnsafeRawBufferPointer]
    ) {
        var page = 0
        for (span, offset) in zip(batch, answer.offsets) {
            let count = Self.pageCount(span.bytes)
            let isCopied = answer.pages[page..<page + count].map { !pages.count($0) }
            // What lies between the members is nobody's, and in no count.
            for member in span.members {
                let bytes = MemorySpan.addresses(memory[member])
                offsets[member] = offset + UInt64(bytes.lowerBound - span.bytes.lowerBound)
                let copied = Self.copiedBytes(bytes, from: span.bytes.lowerBound, isCopied)
                copiedBytes += copied
                movedBytes += UInt64(bytes.count) - copied
            }
            page += count
        }
        pages.ranges += UInt64(batch.count)
        fileBytes = answer.fileBytes
    }

    /// How many pages a range touches.
    static func pageCount(_ bytes: Range<UInt>) -> Int {
        bytes.isEmpty ? 0 : Int((bytes.upperBound - 1) / pageBytes - bytes.lowerBound / pageBytes) + 1
    }

    /// The bytes of a range that lie in pages which were copied.
    ///
    /// - Parameters:
    ///   - start: an address in the first of the pages.
    ///   - isCopied: whether each page was.
    static func copiedBytes(_ bytes: Range<UInt>, from start: UInt, _ isCopied: [Bool]) -> UInt64 {
        var copied: UInt64 = 0
        let first = start / pageBytes
        for page in bytes.lowerBound / pageBytes...(bytes.upperBound - 1) / pageBytes where isCopied[Int(page - first)]
        {
            copied += UInt64(bytes.clamped(to: page * pageBytes..<(page + 1) * pageBytes).count)
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
