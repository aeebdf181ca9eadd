import CLinux
import Glibc

extension SystemCall {
    /// Making a memory file.
    public static let createMemory: SystemCall = "memfd_create"
    /// Adding seals to a memory file.
    public static let addSeals: SystemCall = "fcntl(F_ADD_SEALS)"
    /// Reading the seals of a memory file.
    public static let getSeals: SystemCall = "fcntl(F_GET_SEALS)"
    /// Changing the size of a file.
    public static let truncate: SystemCall = "ftruncate"
    /// Changing the permissions of a file.
    public static let changeMode: SystemCall = "fchmod"
    /// Asking for size and usage of a file.
    public static let status: SystemCall = "fstat"
    /// Freeing pages of a file.
    public static let punchHole: SystemCall = "fallocate(FALLOC_FL_PUNCH_HOLE)"
    /// Taking pages for a file before they are used.
    public static let reserve: SystemCall = "fallocate"
    /// Looking for data and holes in a file.
    public static let seek: SystemCall = "lseek"
}

/// The operations that a memory file no longer allows.
public struct Seals: OptionSet, Sendable {
    /// The kernel's bits.
    public let rawValue: Int32

    /// From the kernel's bits.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// No more seals.
    public static let seal = Seals(rawValue: Int32(ZERROW_SEAL_SEAL))
    /// It can't get shorter.
    public static let shrink = Seals(rawValue: Int32(ZERROW_SEAL_SHRINK))
    /// It can't get longer.
    public static let grow = Seals(rawValue: Int32(ZERROW_SEAL_GROW))
    /// Its content can't change.
    public static let write = Seals(rawValue: Int32(ZERROW_SEAL_WRITE))
    /// No new writable mapping or write, though old mappings go on writing.
    public static let futureWrite = Seals(rawValue: Int32(ZERROW_SEAL_FUTURE_WRITE))
    /// Nothing can change, for ever.
    public static let all: Seals = [.seal, .shrink, .grow, .write]
}

/// What a file is, its size, memory, permissions and owner.
public struct FileStatus: Sendable, Equatable {
    /// The size in bytes, holes included.
    public let bytes: Int
    /// What its pages take, in bytes: of a memory file memory, swapped-out pages included, else room on the disk.
    public let residentBytes: Int
    /// The permission bits.
    public let mode: mode_t
    /// The owner.
    public let owner: uid_t
    /// Which file it is, within its device.
    public let inode: UInt64
    /// What it is: `S_IFREG` and so on.
    public let kind: mode_t
    /// How many names it has.
    public let links: Int
    /// When its content, or its time, was last changed: in seconds since 1970.
    public let changedAt: Int

    init(_ value: stat) {
        bytes = Int(value.st_size)
        residentBytes = Int(value.st_blocks) * 512
        mode = value.st_mode & 0o7777
        owner = value.st_uid
        inode = UInt64(value.st_ino)
        kind = value.st_mode & S_IFMT
        links = Int(value.st_nlink)
        changedAt = value.st_mtim.tv_sec
    }
}

/// Memory files (memfds): sparse, unnamed, in RAM or swap, gone with their last descriptor and mapping.
extension FileDescriptor {
    /// A new memory file.
    ///
    /// - Parameters:
    ///   - name: shown in `/proc`, for people only.
    ///   - bytes: the size; no memory is taken before something is written.
    ///   - sealable: whether seals may be added; when not, nobody ever can.
    public static func memory(named name: String, bytes: Int, sealable: Bool) throws(SystemError) -> FileDescriptor {
        let raw = try perform(.createMemory, name) { zerrow_memfd_create(name, sealable ? 1 : 0) }
        let file = FileDescriptor(owning: raw)
        try file.truncate(bytes: bytes)
        return file
    }

    /// A new memory file with the given content, which nobody can change any more.
    public static func sealedMemory(
        named name: String, _ content: UnsafeRawBufferPointer
    ) throws(SystemError) -> FileDescriptor {
        let file = try memory(named: name, bytes: content.count, sealable: true)
        try file.writeAll(content, at: 0)
        try file.addSeals(.all)
        return file
    }

    /// A new memory file with the given content, which nobody can change any more.
    public static func sealedMemory(named name: String, _ content: [UInt8]) throws(SystemError) -> FileDescriptor {
        let raw = try content.withUnsafeBufferPointer { (bytes) throws(SystemError) -> Int32 in
            try sealedMemory(named: name, UnsafeRawBufferPointer(bytes)).release()
        }
        return FileDescriptor(owning: raw)
    }

    /// Size, memory, permissions and owner.
    public func status() throws(SystemError) -> FileStatus {
        let raw = self.raw
        var value = stat()
        try perform(.status, "descriptor \(raw)") { fstat(raw, &value) }
        return FileStatus(value)
    }

    /// Sets the size; bytes beyond it are freed.
    public func truncate(bytes: Int) throws(SystemError) {
        let raw = self.raw
        try perform(.truncate, "descriptor \(raw)") { ftruncate(raw, off_t(bytes)) }
    }

    /// Adds seals. `EBUSY`: a writable mapping exists; `EPERM`: seals can't be added.
    public func addSeals(_ seals: Seals) throws(SystemError) {
        let raw = self.raw
        try perform(.addSeals, "descriptor \(raw)") { zerrow_memfd_add_seals(raw, seals.rawValue) }
    }

    /// The seals on a memory file. `EINVAL`: it isn't one.
    public func seals() throws(SystemError) -> Seals {
        let raw = self.raw
        return Seals(rawValue: try perform(.getSeals, "descriptor \(raw)") { zerrow_memfd_get_seals(raw) })
    }

    /// Sets the permission bits.
    public func changeMode(_ mode: mode_t) throws(SystemError) {
        let raw = self.raw
        try perform(.changeMode, "descriptor \(raw)") { fchmod(raw, mode) }
    }

    /// Frees the pages inside the range and zeroes its parts of other pages; the size stays. `EPERM`: it is sealed.
    public func punchHole(_ range: Range<Int>) throws(SystemError) {
        if range.isEmpty { return }
        let raw = self.raw
        try perform(.punchHole, "descriptor \(raw), bytes \(range)") {
            zerrow_punch_hole(raw, Int64(range.lowerBound), Int64(range.count))
        }
    }

    /// Takes memory for the holes of a range now, so that writing there later can't fail. `ENOSPC` when there is none.
    public func reserve(_ range: Range<Int>) throws(SystemError) {
        if range.isEmpty { return }
        let raw = self.raw
        try perform(.reserve, "descriptor \(raw), bytes \(range)") {
            zerrow_reserve(raw, Int64(range.lowerBound), Int64(range.count))
        }
    }

    /// Where the first data at or after an offset begins; nil when only a hole is left.
    ///
    /// Pages that were reserved and never written count as a hole. Moves the file offset.
    public func nextDataStart(from offset: Int) throws(SystemError) -> Int? {
        let raw = self.raw
        do {
            return Int(try perform(.seek, "descriptor \(raw)") { lseek(raw, off_t(offset), seekData) })
        } catch  where error.errno == ENXIO {
            return nil
        }
    }

    /// Where the first hole at or after an offset begins; the end of the file counts as one. It takes time in proportion
    /// to the pages passed over. Moves the file offset. `ENXIO` at or past the end of the file.
    public func nextHoleStart(from offset: Int) throws(SystemError) -> Int {
        let raw = self.raw
        return Int(try perform(.seek, "descriptor \(raw)") { lseek(raw, off_t(offset), seekHole) })
    }

    /// The first stretch of data at or after an offset, cut to `end`; nil when only a hole is left. Moves the file offset.
    public func nextData(from offset: Int, to end: Int) throws(SystemError) -> Range<Int>? {
        guard offset < end, let start = try nextDataStart(from: offset), start < end else { return nil }
        return start..<min(try nextHoleStart(from: start), end)
    }

    /// Every stretch of data within a range, in order. Moves the file offset.
    public func dataRanges(in range: Range<Int>) throws(SystemError) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var offset = range.lowerBound
        while let next = try nextData(from: offset, to: range.upperBound) {
            ranges.append(next)
            offset = next.upperBound
        }
        return ranges
    }
}

private let seekData = Int32(ZERROW_SEEK_DATA)
private let seekHole = Int32(ZERROW_SEEK_HOLE)
