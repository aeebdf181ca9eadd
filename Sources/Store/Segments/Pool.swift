import Glibc
import Synchronization
import System

/// Files whose pages are still faulted in, kept for the next outputs: using memory again is far cheaper than faulting in new.
///
/// A file in the pool belongs to nobody: every process that had it is dead. It is given away when it was zeroed, which happens elsewhere.
struct Pool {
    /// A file to use again.
    struct Entry {
        let file: DescriptorBox
        /// The size of the file.
        let bytes: Int
        /// The memory it takes.
        var residentBytes: Int
        /// The model whose output it was last.
        let model: String
        /// What zeroes it; nil when that is done.
        var cleaning: CleanWork?
    }

    private(set) var entries: [Entry] = []
    private(set) var bytesMax: Int
    /// Files that are not in the pool any more, and that the caller closes.
    private var dropped: [DescriptorBox] = []

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// The memory of all entries.
    var residentBytes: Int { entries.reduce(0) { $0 + $1.residentBytes } }

    /// Takes in a file that nobody holds; the oldest go when it gets too much.
    ///
    /// - Returns: what has to be done to the file; nil when it is not worth keeping, or can't be measured.
    mutating func add(_ file: DescriptorBox, bytes: Int, model: String) -> CleanWork? {
        guard let resident = try? file.descriptor.status().residentBytes, resident >= Machine.hugePageBytes,
            resident <= bytesMax
        else { return nil }
        let work = CleanWork(file, bytes: bytes)
        entries.append(Entry(file: file, bytes: bytes, residentBytes: resident, model: model, cleaning: work))
        fit()
        return work
    }

    /// A file has been zeroed, or can't be and goes.
    mutating func finish(_ work: CleanWork) {
        guard let place = entries.firstIndex(where: { $0.cleaning === work }) else { return }
        guard let residentBytes = work.residentBytes else { return drop(place) }
        entries[place].cleaning = nil
        entries[place].residentBytes = residentBytes
    }

    /// Limits the memory of all entries; the oldest go.
    mutating func limit(bytesMax: Int) {
        self.bytesMax = bytesMax
        fit()
    }

    /// The files that have left the pool since the last call.
    mutating func takeDropped() -> [DescriptorBox] {
        defer { dropped = [] }
        return dropped
    }

    private mutating func fit() {
        while residentBytes > bytesMax { drop(0) }
    }

    private mutating func drop(_ place: Int) {
        let entry = entries.remove(at: place)
        entry.cleaning?.stop()
        dropped.append(entry.file)
    }

    /// The most suitable file, of the given size and all zero; nil when there is none.
    ///
    /// The file that the same model had last is preferred, because it will want the same places of it again. Then the smallest
    /// that holds `expectedBytes`, else the largest; but none that is far too large, which another model needs more, and which would have
    /// to be zeroed again for nothing.
    mutating func take(bytes: Int, expectedBytes: Int, model: String) -> Entry? {
        func rank(_ entry: Entry) -> (Int, Int) {
            let suffices = entry.residentBytes >= expectedBytes && expectedBytes > 0
            return (entry.model == model ? 1 : 0, suffices ? Int.max - entry.residentBytes : entry.residentBytes)
        }
        while true {
            let clean = entries.indices.filter { place in
                let entry = entries[place]
                let isFarTooLarge = expectedBytes > 0 && entry.residentBytes > max(64 << 20, 8 * expectedBytes)
                return entry.cleaning == nil && (entry.model == model || !isFarTooLarge)
            }
            guard let best = clean.max(by: { rank(entries[$0]) < rank(entries[$1]) }) else { return nil }
            var entry = entries[best]
            do throws(SystemError) {
                if entry.bytes != bytes {
                    try entry.file.descriptor.truncate(bytes: bytes)
                    entry.residentBytes = try entry.file.descriptor.status().residentBytes
                }
                entries.remove(at: best)
                return entry
            } catch {
                // Another one may do, and if none does, a new one will.
                drop(best)
            }
        }
    }
}

/// A file of the pool on the way to being all zero: what a thread of its own needs for that.
final class CleanWork: Sendable {
    /// The most that is zeroed; of what exceeds it the pages are freed.
    static let zeroedBytesMax = 1 << 30
    /// How much is zeroed between two looks at whether it is still wanted.
    private static let stepBytes = 64 << 20

    private let file: DescriptorBox
    private let bytes: Int
    private let isStopped = Atomic<Bool>(false)
    private let result = Mutex<Int?>(nil)

    init(_ file: DescriptorBox, bytes: Int) {
        self.file = file
        self.bytes = bytes
    }

    /// The memory that the file takes now that it is all zero, in bytes; nil when it isn't.
    var residentBytes: Int? { result.withLock { $0 } }

    /// Nobody wants the file any more.
    func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Makes the file as long as it was made, and read as zero. On a thread that may wait; once.
    func run() {
        HoldPoint.clean.pass()
        do throws(SystemError) {
            // What was moved to its end goes.
            try file.descriptor.truncate(bytes: bytes)
            try clean()
            guard !isStopped.load(ordering: .relaxed) else { return }
            let resident = try file.descriptor.status().residentBytes
            result.withLock { $0 = resident }
        } catch {
            // Without a result, the pool gives the file up.
        }
    }

    /// Of the file's pages it keeps whole ranges of 2 MiB, up to a limit; the rest is freed.
    ///
    /// What is in pieces is not worth keeping: zeroing 4 KiB pages one fault at a time takes longer than new 2 MiB pages.
    private func clean() throws(SystemError) {
        let huge = Machine.hugePageBytes
        var kept: [Range<Int>] = []
        var left = Self.zeroedBytesMax & ~(huge - 1)
        for data in try file.descriptor.dataRanges(in: 0..<bytes) {
            let lower = (data.lowerBound + huge - 1) & ~(huge - 1)
            let upper = max(lower, data.upperBound & ~(huge - 1))
            let count = min(upper - lower, left)
            if count > 0 { kept.append(lower..<lower + count) }
            left -= count
        }
        for range in RangeSet([0..<bytes]).subtracting(RangeSet(kept)).ranges {
            try file.descriptor.punchHole(range)
        }
        if kept.isEmpty { return }
        let mapping = try Mapping(file.descriptor, count: bytes, access: .readWrite)
        for range in kept {
            for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.stepBytes) {
                if isStopped.load(ordering: .relaxed) { return }
                let step = start..<min(start + Self.stepBytes, range.upperBound)
                // Pages that are huge already stay as they are; where the kernel makes none, small ones are zeroed as well.
                try? mapping.advise(.collapse, step)
                // One call for a long range: the C library then writes past the caches, 2.5 times as fast.
                memset(mapping.base + step.lowerBound, 0, step.count)
            }
        }
        withExtendedLifetime(mapping) {}
    }
}

extension SegmentStore {
    /// Limits the memory kept for future outputs, freeing the oldest of it; 0 frees all.
    public func limitPool(bytesMax: Int) {
        pool.limit(bytesMax: bytesMax)
        letGo(pool.takeDropped())
    }
}
