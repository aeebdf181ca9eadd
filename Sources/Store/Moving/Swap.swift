import Glibc
import Synchronization
import System

/// The measured figures of swapping; all sizes in bytes.
public struct SwapFigures: Sendable, Equatable {
    /// The bytes that only this table names and that were in RAM before.
    public var residentBytes = 0
    /// The part of them that has left RAM.
    public var freedBytes = 0
    /// The part of them that is on swap and in RAM too: the kernel drops it without writing it again when it needs room.
    public var cachedBytes = 0
    /// How long it took, in nanoseconds.
    public var nanoseconds: UInt64 = 0

    /// How fast it was written, in bytes per second.
    public var bytesPerSecond: Double {
        nanoseconds == 0 ? 0 : Double(freedBytes + cachedBytes) * 1e9 / Double(nanoseconds)
    }
}

/// How swapping ended.
public enum SwapOutcome: Sendable {
    /// As much as the figures say is on swap.
    case swapped(SwapFigures)
    /// There is no swap, or it is full, or nothing of the table is in RAM: another way is needed.
    case noWay(String)
    /// The kernel refused a call. The table is intact, whether its pages are on swap or not.
    case failed(StoreError)
}

/// A table on its way to swap. It holds everything that a thread of its own needs, and uses nothing of the store.
public final class SwapWork: Sendable {
    /// The table.
    public let table: TableID

    let pin: BorrowerID
    /// The pages that only this table names, by segment.
    private let pages: [SegmentID: RangeSet]
    private let files: PinnedFiles
    private let result = Mutex<(outcome: SwapOutcome, swapped: [SegmentID: Int])?>(nil)

    init(table: TableID, pin: BorrowerID, pages: [SegmentID: RangeSet], files: PinnedFiles) {
        self.table = table
        self.pin = pin
        self.pages = pages
        self.files = files
    }

    /// Moves the pages to swap, and measures what has left RAM. On a thread that may wait; once.
    ///
    /// - Parameter drain: asked to make the kernel let go of so many bytes that are on swap already, through the control group that they
    ///   are charged to; otherwise they stay in RAM until somebody needs the room.
    public func pageOut(drain: (Int) -> Void = { _ in }) {
        move { (parts) throws(SystemError) in
            for part in parts { try Self.pageOut(part) }
            let cachedBytes = try Left(parts).cachedBytes
            if cachedBytes > 0 { drain(cachedBytes) }
        }
    }

    /// Has somebody else move so many bytes to swap, and measures what has left RAM. On a thread that may wait; once.
    ///
    /// - Parameter drop: drops the limit of the control group that the table is charged to. Other memory charged there moves too.
    public func dropLimit(_ drop: (Int) -> Void) {
        move { parts in drop(parts.reduce(0) { $0 + $1.residentBytes }) }
    }

    private func move(_ mover: ([Part]) throws(SystemError) -> Void) {
        do throws(SystemError) {
            let outcome = try measure(mover)
            result.withLock { $0 = outcome }
        } catch {
            let failure = StoreError(.system, nil, "swapping table \(table)", underlying: error)
            result.withLock { $0 = (.failed(failure), [:]) }
        }
    }

    /// Takes the outcome, and how much of each segment is out of RAM; nil when no mover was called.
    func take() -> (outcome: SwapOutcome, swapped: [SegmentID: Int])? {
        files.letGo()
        return result.withLock { result in
            defer { result = nil }
            return result
        }
    }

    private func measure(
        _ mover: ([Part]) throws(SystemError) -> Void
    ) throws(SystemError) -> (outcome: SwapOutcome, swapped: [SegmentID: Int]) {
        let memory = try Machine.memory()
        if memory.swapBytesTotal == 0 { return (.noWay("this machine has no swap"), [:]) }
        if memory.swapBytesFree == 0 { return (.noWay("the swap of this machine is full"), [:]) }
        let begin = MonotonicClock.nanoseconds()
        var parts: [Part] = []
        for (id, file) in files.all { parts.append(try Part(id, file, pages[id] ?? RangeSet())) }
        var figures = SwapFigures()
        figures.residentBytes = parts.reduce(0) { $0 + $1.residentBytes }
        if figures.residentBytes == 0 { return (.noWay("nothing of table \(table) is in RAM"), [:]) }
        try mover(parts)
        let left = try Left(parts)
        figures.nanoseconds = MonotonicClock.nanoseconds() - begin
        figures.freedBytes = left.freedBytes
        figures.cachedBytes = left.cachedBytes
        return (.swapped(figures), left.swapped)
    }

    /// The pages of one segment, as they were before.
    private struct Part {
        let id: SegmentID
        let mapping: Mapping
        /// The pages that were in RAM.
        let resident: RangeSet
        /// The bytes of the whole file that were on swap.
        let swappedBytes: Int

        var residentBytes: Int { resident.bytes }

        init(_ id: SegmentID, _ file: DescriptorBox, _ pages: RangeSet) throws(SystemError) {
            self.id = id
            mapping = try Mapping(file.descriptor, count: file.descriptor.status().bytes)
            var found: [Range<Int>] = []
            for range in pages.intersection(RangeSet([0..<mapping.count])).ranges {
                found += try mapping.residentRanges(in: range)
            }
            resident = RangeSet(found)
            swappedBytes = try mapping.swappedBytes()
        }
    }

    /// Where the pages are now.
    private struct Left {
        var freedBytes = 0
        var cachedBytes = 0
        /// The bytes of each file that are not in RAM.
        var swapped: [SegmentID: Int] = [:]

        init(_ parts: [Part]) throws(SystemError) {
            for part in parts {
                var residentBytes = 0
                for range in part.resident.ranges {
                    residentBytes += try part.mapping.residentRanges(in: range).reduce(0) { $0 + $1.count }
                }
                let onSwap = try part.mapping.swappedBytes()
                let freed = max(0, part.residentBytes - residentBytes)
                // The kernel may have swapped out other bytes of the same file too; these don't count.
                let cached = max(0, min(onSwap - part.swappedBytes, part.residentBytes) - freed)
                freedBytes += freed
                cachedBytes += cached
                swapped[part.id] = max(0, onSwap - cached)
            }
        }
    }

    /// How many bytes are passed to the kernel at once.
    private static let windowBytes = 64 << 20

    /// Only resident pages are mapped: mapping a hole would fill it, and mapping a page on swap would bring it back.
    private static func pageOut(_ part: Part) throws(SystemError) {
        for range in part.resident.ranges {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: windowBytes) {
                let window = start..<min(start + windowBytes, range.upperBound)
                // The kernel pages out only pages that this mapping has mapped and no other one has.
                try part.mapping.advise(.populateRead, window)
                try part.mapping.advise(.pageOut, window)
            }
        }
    }
}

extension SegmentStore {
    /// Begins to move to swap the pages that only this table names. It is pinned until `finishSwap`: it can be lent and released
    /// meanwhile, and pages that a reader touches come back.
    ///
    /// - Returns: the work, for a thread that may wait.
    public func beginSwap(_ table: TableID) -> SwapWork {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        let pin = BorrowerID(rawValue: "swap \(nextSegmentID())")
        var pages: [SegmentID: RangeSet] = [:]
        var files: [(id: SegmentID, file: DescriptorBox)] = []
        for id in memorySegments(of: table) {
            guard let segment = segments[id], let file = segment.reader, let ranges = entry.named[id] else { continue }
            let own = segment.sharing.exclusive(of: ranges)
            if own.isEmpty { continue }
            pages[id] = own
            files.append((id, file))
        }
        tables[table]?.readers.insert(pin)
        changedTables.insert(table)
        return SwapWork(table: table, pin: pin, pages: pages, files: PinnedFiles(files))
    }

    /// Ends swapping, whatever came of it.
    ///
    /// - Parameter work: from `beginSwap`, when its `pageOut` or `dropLimit` has returned, or neither was called.
    public func finishSwap(_ work: SwapWork) -> SwapOutcome {
        tables[work.table]?.readers.remove(work.pin)
        changedTables.insert(work.table)
        let (outcome, swapped) = work.take() ?? (.noWay("nothing was done"), [:])
        let isLent = tables[work.table]?.readers.isEmpty == false
        for (id, bytes) in swapped where !isLent { segments[id]?.swappedBytes = bytes }
        do throws(StoreError) {
            try dropUnneeded([work.table])
        } catch {
            return .failed(error)
        }
        return outcome
    }
}
