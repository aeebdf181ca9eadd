import Glibc
import System

/// Files whose pages are still faulted in, kept for the next outputs: using memory again is far cheaper than faulting in new.
///
/// A file in the pool belongs to nobody: every process that had it is dead.
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
    }

    /// The most that is zeroed while a worker waits for its output; pages beyond that are freed.
    static let zeroedBytesMax = 1 << 30

    private(set) var entries: [Entry] = []
    var bytesMax: Int { didSet { fit() } }

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    /// The memory of all entries.
    var residentBytes: Int { entries.reduce(0) { $0 + $1.residentBytes } }

    /// Takes in a file that nobody holds; the oldest entries go when the pool gets too large.
    mutating func add(_ file: DescriptorBox, bytes: Int, model: String) {
        // A file that can't be measured, or has next to nothing, is not worth keeping.
        guard let resident = try? file.descriptor.status().residentBytes, resident >= Machine.hugePageBytes,
            resident <= bytesMax
        else { return }
        entries.append(Entry(file: file, bytes: bytes, residentBytes: resident, model: model))
        fit()
    }

    private mutating func fit() {
        var total = residentBytes
        while total > bytesMax { total -= entries.removeFirst().residentBytes }
    }

    /// The most suitable file, of the given size and all zero; nil when there is none.
    ///
    /// The file that the same model had last is preferred, because it will want the same places of it again. Then the smallest
    /// that holds `expectedBytes`, else the largest.
    mutating func take(bytes: Int, expectedBytes: Int, model: String) -> Entry? {
        func rank(_ entry: Entry) -> (Int, Int) {
            let suffices = entry.residentBytes >= expectedBytes && expectedBytes > 0
            return (entry.model == model ? 1 : 0, suffices ? Int.max - entry.residentBytes : entry.residentBytes)
        }
        while let best = entries.indices.max(by: { rank(entries[$0]) < rank(entries[$1]) }) {
            var entry = entries.remove(at: best)
            do throws(SystemError) {
                if entry.bytes != bytes { try entry.file.descriptor.truncate(bytes: bytes) }
                try Pool.clean(entry.file, bytes: bytes)
                entry.residentBytes = try entry.file.descriptor.status().residentBytes
                return entry
            } catch {
                // The file is closed and its memory is free; another one may do, and if none does, a new one will.
                continue
            }
        }
        return nil
    }

    /// Makes a file read as zero. Of its pages it keeps whole ranges of 2 MiB, up to a limit; the rest is freed.
    ///
    /// Smaller pieces aren't worth keeping: zeroing 4 KiB pages one fault at a time takes longer than new 2 MiB pages.
    private static func clean(_ file: DescriptorBox, bytes: Int) throws(SystemError) {
        let huge = Machine.hugePageBytes
        var kept: [Range<Int>] = []
        var left = zeroedBytesMax & ~(huge - 1)
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
            // Pages that are huge already stay as they are; where the kernel makes none, small ones are zeroed as well.
            try? mapping.advise(.collapse, range)
            // One call for the whole range: the C library then writes past the caches, 2.5 times as fast.
            memset(mapping.base + range.lowerBound, 0, range.count)
        }
        withExtendedLifetime(mapping) {}
    }
}

extension SegmentStore {
    /// Limits the memory kept for future outputs, freeing the oldest of it; 0 frees all.
    public func limitPool(bytesMax: Int) { pool.bytesMax = bytesMax }
}
