import CLinux
import Glibc

extension SystemCall {
    /// Mapping a file.
    public static let map: SystemCall = "mmap"
    /// Advice about mapped pages.
    public static let advise: SystemCall = "madvise"
    /// Asking which pages are in memory.
    public static let inCore: SystemCall = "mincore"
}

/// A range of a file in this process's memory, shared with everyone who maps it, unmapped when the last owner lets go.
///
/// Reading past the end of a file that was cut short raises SIGBUS: map only files that cannot shrink (sealed, or of a
/// size nobody else can change).
///
/// `@unchecked Sendable`: the stored properties never change, and the memory stays mapped until `deinit`. What its bytes
/// are is up to whoever may write the file, in this process or another, as for any shared memory.
public final class Mapping: @unchecked Sendable {
    /// What may be done through the mapping.
    public enum Access: Sendable {
        /// Only reading; the kernel refuses to make it writable when the descriptor is read-only.
        case readOnly
        /// Reading and writing the file itself.
        case readWrite
    }

    /// Advice to the kernel about pages.
    public enum Advice: Sendable {
        /// Turn 4 KiB pages into 2 MiB pages, now. `EINVAL` where a whole 2 MiB range is a hole.
        case collapse
        /// Map the pages that the file has, and take memory for those it lacks, for reading.
        case populateRead
        /// Take memory for the pages now, so that writing can't fail later.
        case populateWrite
        /// Prefer 2 MiB pages at later faults.
        case hugePages
        /// Move the pages that are mapped here, and nowhere else, out of memory: to swap, or to their disk.
        case pageOut

        fileprivate var raw: Int32 {
            switch self {
            case .collapse: Int32(ZERROW_MADV_COLLAPSE)
            case .populateRead: Int32(ZERROW_MADV_POPULATE_READ)
            case .populateWrite: Int32(ZERROW_MADV_POPULATE_WRITE)
            case .hugePages: Int32(ZERROW_MADV_HUGEPAGE)
            case .pageOut: Int32(ZERROW_MADV_PAGEOUT)
            }
        }
    }

    /// The first byte.
    public let base: UnsafeMutableRawPointer
    /// The length in bytes.
    public let count: Int
    /// What may be done through it.
    public let access: Access

    /// Maps a range of a file.
    ///
    /// - Parameters:
    ///   - offset: a multiple of the page size.
    ///   - count: more than 0 bytes.
    /// - Throws: `EACCES` when the descriptor does not allow the access, `EPERM` when a seal forbids it.
    public init(
        _ file: borrowing FileDescriptor, offset: Int = 0, count: Int, access: Access = .readOnly
    ) throws(SystemError) {
        precondition(count > 0 && offset >= 0, "an empty or negative range can't be mapped")
        let raw = file.raw
        let protection = access == .readOnly ? PROT_READ : PROT_READ | PROT_WRITE
        let address = try Self.reserve(count: count, offset: offset)
        do {
            try perform(.map, "descriptor \(raw), \(count) bytes at \(offset)") { () -> Int32 in
                let flags = MAP_SHARED | MAP_NORESERVE | MAP_FIXED
                return mmap(address, count, protection, flags, raw, off_t(offset)) == MAP_FAILED ? -1 : 0
            }
        } catch {
            munmap(address, count)
            throw error
        }
        self.base = address
        self.count = count
        self.access = access
    }

    deinit { munmap(base, count) }

    /// Address space for a mapping, placed so that the file's 2 MiB pages can be mapped as such: the address and the offset
    /// are equal modulo 2 MiB.
    private static func reserve(count: Int, offset: Int) throws(SystemError) -> UnsafeMutableRawPointer {
        let slack = count >= Machine.hugePageBytes ? Machine.hugePageBytes : 0
        var reserved: UnsafeMutableRawPointer?
        try perform(.map, "\(count) bytes of address space") { () -> Int32 in
            reserved = mmap(nil, count + slack, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
            return reserved == MAP_FAILED ? -1 : 0
        }
        guard let reserved else { preconditionFailure("mmap without a fixed address gave address 0") }
        if slack == 0 { return reserved }
        let skipped = (offset - Int(bitPattern: reserved)) & (slack - 1)
        let pages = (count + Machine.pageBytes - 1) & ~(Machine.pageBytes - 1)
        if skipped > 0 { munmap(reserved, skipped) }
        let end = skipped + pages
        if count + slack > end { munmap(reserved + end, count + slack - end) }
        return reserved + skipped
    }

    /// The mapped bytes, valid as long as the mapping lives: the optimizer may end an object's life after its last use, so
    /// keep it in a stored property, or use the bytes inside `withExtendedLifetime`.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// The mapped bytes for writing, valid as long as the mapping lives, as for `bytes`. Traps when it is read-only.
    public var mutableBytes: UnsafeMutableRawBufferPointer {
        precondition(access == .readWrite, "the mapping is read-only")
        return UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    /// Gives the kernel advice about a range (page-aligned at its start) of the mapping.
    public func advise(_ advice: Advice, _ range: Range<Int>) throws(SystemError) {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "advice beyond the mapping")
        try perform(.advise, "\(advice) on bytes \(range) of a mapping") {
            madvise(base + range.lowerBound, range.count, advice.raw)
        }
    }

    /// The parts of a range (page-aligned at its start) whose pages are in memory, whoever uses them, in order; in whole pages.
    ///
    /// Only a process that may write the file learns this of the page cache: for any other, all pages seem to be in memory.
    public func residentRanges(in range: Range<Int>) throws(SystemError) -> [Range<Int>] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "pages beyond the mapping")
        let page = Machine.pageBytes
        var result: [Range<Int>] = []
        var states = [UInt8](repeating: 0, count: min(Self.pagesAskedMax, (range.count + page - 1) / page))
        for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.pagesAskedMax * page) {
            let asked = min(Self.pagesAskedMax * page, range.upperBound - start)
            try states.withUnsafeMutableBufferPointer { (states) throws(SystemError) in
                try perform(.inCore, "bytes \(range) of a mapping") { mincore(base + start, asked, states.baseAddress) }
                Self.append(states.prefix((asked + page - 1) / page), from: start, to: &result)
            }
        }
        return result
    }

    /// The bytes of a memory file's mapped range that are on swap, whether they are in memory too or not. It reads the list of
    /// all mappings of the process.
    public func swappedBytes() throws(SystemError) -> Int {
        let path = "/proc/self/smaps"
        let start = String(UInt(bitPattern: base), radix: 16) + "-"
        let text = String(decoding: try Files.read(path, bytesMax: 1 << 28), as: UTF8.self)
        var isOwn = false
        for line in text.split(separator: "\n") {
            if line.hasPrefix(start) { isOwn = true }
            if isOwn, line.hasPrefix("Swap:"), let kibibytes = line.split(separator: " ").dropFirst().first {
                return (Int(kibibytes) ?? 0) << 10
            }
        }
        return 0
    }

    /// How many pages are asked about at once.
    private static let pagesAskedMax = 1 << 18

    /// Adds the ranges of pages whose lowest bit is set.
    private static func append(
        _ states: Slice<UnsafeMutableBufferPointer<UInt8>>, from start: Int, to ranges: inout [Range<Int>]
    ) {
        let page = Machine.pageBytes
        for (index, state) in states.enumerated() where state & 1 != 0 {
            let place = start + index * page
            if let last = ranges.last, last.upperBound == place {
                ranges[ranges.count - 1] = last.lowerBound..<place + page
            } else {
                ranges.append(place..<place + page)
            }
        }
    }

    /// The kernel's pagemap entries of the pages in a range: bit 63 present, bits 0-54 the frame (0 unless privileged).
    public func pageMap(_ range: Range<Int>) throws(SystemError) -> [UInt64] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "pages beyond the mapping")
        if range.isEmpty { return [] }
        let first = (Int(bitPattern: base) + range.lowerBound) / Machine.pageBytes
        let last = (Int(bitPattern: base) + range.upperBound - 1) / Machine.pageBytes
        let file = try FileDescriptor.open("/proc/self/pagemap")
        let bytes = try file.bytes(first * 8..<(last + 1) * 8)
        return bytes.withUnsafeBytes { Array($0.bindMemory(to: UInt64.self)) }
    }
}
