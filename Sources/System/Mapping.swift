import CLinux
import Glibc

extension SystemCall {
    /// Mapping a file.
    public static let map: SystemCall = "mmap"
    /// Advice about mapped pages.
    public static let advise: SystemCall = "madvise"
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

        fileprivate var raw: Int32 {
            switch self {
            case .collapse: Int32(ZERROW_MADV_COLLAPSE)
            case .populateRead: Int32(ZERROW_MADV_POPULATE_READ)
            case .populateWrite: Int32(ZERROW_MADV_POPULATE_WRITE)
            case .hugePages: Int32(ZERROW_MADV_HUGEPAGE)
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
        let raw = file.raw
        let protection = access == .readOnly ? PROT_READ : PROT_READ | PROT_WRITE
        var address: UnsafeMutableRawPointer?
        try perform(.map, "descriptor \(raw), \(count) bytes at \(offset)") { () -> Int32 in
            address = mmap(nil, count, protection, MAP_SHARED | MAP_NORESERVE, raw, off_t(offset))
            return address == MAP_FAILED ? -1 : 0
        }
        guard let address else { preconditionFailure("mmap without a fixed address gave address 0") }
        self.base = address
        self.count = count
        self.access = access
    }

    deinit { munmap(base, count) }

    /// The mapped bytes; valid as long as the mapping lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// The mapped bytes for writing; valid as long as the mapping lives. Traps when it is read-only.
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
