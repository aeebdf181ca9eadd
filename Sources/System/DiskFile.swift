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
    ///
    /// Where the file system can't do that, it has a name for some microseconds (`PendingFile`).
    public static func unnamed(in folder: String) throws(SystemError) -> FileDescriptor {
        do {
            return try neverNamed(in: folder)
        } catch {
            guard error.meansNoUnnamedFiles else { throw error }
            let (file, path) = try PendingFile.named(in: folder)
            // A file that can't be removed is abandoned, and is removed with the next one.
            try Files.remove(path)
            return try file.descriptor.duplicate()
        }
    }

    fileprivate static func neverNamed(in folder: String) throws(SystemError) -> FileDescriptor {
        FileDescriptor(owning: try perform(.makeUnnamed, folder) { zerrow_unnamed_file(folder) })
    }

    /// Gives a name to a file that never had one. Nothing happens if there is a file of that name.
    fileprivate func link(as path: String) throws(SystemError) {
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

extension SystemError {
    /// How a folder's file system, or a kernel that does not know the flag, says that it has no files without a name.
    fileprivate var meansNoUnnamedFiles: Bool { [EOPNOTSUPP, EISDIR, ENOENT, EINVAL].contains(errno) }
}

/// A new file that gets its name when it is whole, and is gone if it never does.
///
/// Where the file system has no files without a name, it has a name that marks it (`.zerrow-…`), and is locked. Such a file that
/// is not locked was left behind by a process that was killed: the next one of the kind in that folder removes it.
public final class PendingFile: Sendable {
    /// The file, for reading and writing by this user alone.
    public let file: DescriptorBox
    /// The name that it has until then; nil if it has none.
    private let path: String?

    private static let prefix = ".zerrow-"

    /// A new file that is to be in a folder.
    public init(in folder: String) throws(SystemError) {
        do {
            file = DescriptorBox(try FileDescriptor.neverNamed(in: folder))
            path = nil
        } catch {
            guard error.meansNoUnnamedFiles else { throw error }
            let (file, path) = try Self.named(in: folder)
            self.file = file
            self.path = path
        }
    }

    deinit { if let path { _ = try? Files.remove(path) } }

    /// Gives it its name, which is on the same file system. A file that has that name already stays, or is replaced: it
    /// should be an equal one.
    public func link(as name: String) throws(SystemError) {
        guard let path else { return try file.descriptor.link(as: name) }
        try Files.rename(path, name)
    }

    /// A new file with a name of its own, locked.
    fileprivate static func named(in folder: String) throws(SystemError) -> (DescriptorBox, path: String) {
        removeAbandoned(in: folder)
        while true {
            let path = "\(folder)/\(prefix)\(UInt64.random(in: 0...UInt64.max))"
            let file: DescriptorBox
            do throws(SystemError) {
                file = DescriptorBox(try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL))
            } catch {
                if error.errno == EEXIST { continue }
                throw error
            }
            // If nothing can be locked here, nothing is taken for abandoned.
            let isLocked = (try? file.descriptor.lockIfFree()) ?? true
            // Between its making and its lock another process may have taken it away.
            if isLocked, Files.exists(path) { return (file, path) }
            _ = try? Files.remove(path)
        }
    }

    private static func removeAbandoned(in folder: String) {
        // A file that can't be opened is another user's.
        for name in (try? Files.list(folder)) ?? [] where name.hasPrefix(prefix) {
            let path = "\(folder)/\(name)"
            guard let file = try? FileDescriptor.open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK),
                (try? file.lockIfFree()) == true
            else { continue }
            _ = try? Files.remove(path)
        }
    }
}
