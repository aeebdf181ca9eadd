import CLinux
import Glibc

extension SystemCall {
    /// Making a file without a name.
    public static let makeUnnamed: SystemCall = "open(O_TMPFILE)"
    /// Giving a file a name.
    public static let link: SystemCall = "linkat"
    /// Taking room on a disk before it is used.
    public static let allocate: SystemCall = "posix_fallocate"
    /// Writing a range of the page cache to its disk.
    public static let writeback: SystemCall = "sync_file_range"
    /// Writing all of a file to its disk.
    public static let synchronize: SystemCall = "fdatasync"
    /// Telling the page cache what to forget, or to read.
    public static let adviseCache: SystemCall = "posix_fadvise"
    /// Asking what a file system is.
    public static let fileSystem: SystemCall = "fstatfs"
}

/// Files on a disk that have no name, and the page cache over them.
extension FileDescriptor {
    /// A new file for reading and writing in a folder, for this user alone. It has no name, and so is gone with its last
    /// descriptor and mapping, whatever ends the process.
    public static func unnamed(in folder: String) throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try perform(.makeUnnamed, folder) { zerrow_unnamed_file(folder) })
    }

    /// Gives a file of `unnamed` a name. Nothing happens where there is a file of that name.
    public func link(as path: String) throws(SystemError) {
        let source = "/proc/self/fd/\(raw)"
        do {
            try perform(.link, path) { linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) }
        } catch {
            if error.errno != EEXIST { throw error }
        }
    }

    /// Takes room on the disk for so many bytes and makes the file that long: writing there can't fail for lack of room.
    /// `ENOSPC`, `EDQUOT`: there is none; what was taken goes with the file.
    public func allocate(bytes: Int) throws(SystemError) {
        let raw = self.raw
        try perform(.allocate, "descriptor \(raw), \(bytes) bytes") { zerrow_allocate(raw, Int64(bytes)) }
    }

    /// Begins to write a range of the page cache to the disk, and does not wait.
    public func beginWriteback(_ range: Range<Int>) throws(SystemError) {
        if range.isEmpty { return }
        let raw = self.raw
        try perform(.writeback, "descriptor \(raw), bytes \(range)") {
            zerrow_begin_writeback(raw, Int64(range.lowerBound), Int64(range.count))
        }
    }

    /// Writes a range of the page cache to the disk, and waits for it. `EIO`, `ENOSPC`: it can't be written.
    public func finishWriteback(_ range: Range<Int>) throws(SystemError) {
        if range.isEmpty { return }
        let raw = self.raw
        try perform(.writeback, "descriptor \(raw), bytes \(range)") {
            zerrow_finish_writeback(raw, Int64(range.lowerBound), Int64(range.count))
        }
    }

    /// Writes all to the disk, and waits for it: the last chance to hear of a failed write.
    public func synchronize() throws(SystemError) {
        let raw = self.raw
        try perform(.synchronize, "descriptor \(raw)") { fdatasync(raw) }
    }

    /// Lets the page cache forget a range. Pages that are not written yet, or mapped, stay.
    public func dropCache(_ range: Range<Int>) throws(SystemError) {
        if range.isEmpty { return }
        let raw = self.raw
        try perform(.adviseCache, "descriptor \(raw), bytes \(range)") {
            zerrow_drop_cache(raw, Int64(range.lowerBound), Int64(range.count))
        }
    }

    /// Begins to read a range into the page cache, without waiting for it.
    public func readAhead(_ range: Range<Int>) throws(SystemError) {
        if range.isEmpty { return }
        let raw = self.raw
        try perform(.adviseCache, "descriptor \(raw), bytes \(range)") {
            zerrow_read_ahead(raw, Int64(range.lowerBound), Int64(range.count))
        }
    }

    /// Whether the file, or folder, is on a file system that keeps its content in memory: tmpfs and its kind.
    public func isInMemory() throws(SystemError) -> Bool {
        let raw = self.raw
        return try perform(.fileSystem, "descriptor \(raw)") { zerrow_is_in_memory(raw) } == 1
    }
}
