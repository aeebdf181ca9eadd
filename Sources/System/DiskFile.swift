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
    /// Writing a folder to its disk.
    public static let synchronizeFolder: SystemCall = "fsync"
    /// Telling the page cache what to forget, or to read.
    public static let adviseCache: SystemCall = "posix_fadvise"
    /// Closing a file.
    public static let close: SystemCall = "close"
    /// Asking what a file system is.
    public static let fileSystem: SystemCall = "fstatfs"
}

/// Files on a disk that have no name, and the page cache over them.
extension FileDescriptor {
    /// A new file for reading and writing in a folder, for this user alone. It has no name, and so is gone with its last
    /// descriptor and mapping, whatever ends the process.
    ///
    /// Where the file system can't do that, it has a name for some microseconds (`PendingFile`).
    public static func unnamed(in folder: Folder) throws(SystemError) -> FileDescriptor {
        do {
            return try folder.makeUnnamed(mode: 0o600)
        } catch {
            guard error.meansNoUnnamedFiles else { throw error }
            let (file, name) = try PendingFile.named(in: folder, mode: 0o600)
            // One that can't be removed is abandoned, and goes with the next.
            try folder.remove(name)
            return try file.descriptor.duplicate()
        }
    }

    /// The same in a folder by its name.
    public static func unnamed(in folder: String) throws(SystemError) -> FileDescriptor {
        try unnamed(in: Folder(folder))
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

    /// Asks for the failures of writes that a file system tells only when a descriptor is closed, as network file systems do.
    public func finishWrites() throws(SystemError) {
        let copy = try duplicate().release()
        // A number that was closed must not be closed again, whatever close says.
        if close(copy) != 0, errno != EINTR {
            throw SystemError(.close, errno: errno, context: "descriptor \(raw)")
        }
    }

    /// Writes all to the disk, and waits for it: the last chance to hear of a failed write.
    public func synchronize() throws(SystemError) {
        let raw = self.raw
        try perform(.synchronize, "descriptor \(raw)") { fdatasync(raw) }
    }

    /// Writes a folder's entries to the disk, and waits for it.
    func synchronizeFolder() throws(SystemError) {
        let raw = self.raw
        try perform(.synchronizeFolder, "descriptor \(raw)") { fsync(raw) }
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
/// Where it has to have a name before, that says what it is (`.zerrow-…`), and the file is locked. One that is not locked was left
/// behind by a process that was killed: the next file of the kind in that folder takes it away.
public final class PendingFile: Sendable {
    /// The file, for reading and writing by this user alone.
    public let file: DescriptorBox
    private let folder: Folder
    /// The name that it has until then; nil where it has none.
    private let name: String?

    private static let prefix = ".zerrow-"

    /// A new file that is to be in a folder.
    ///
    /// - Parameter mode: its permissions, less the umask.
    public init(in folder: Folder, mode: mode_t = 0o600) throws(SystemError) {
        self.folder = folder
        do {
            file = DescriptorBox(try folder.makeUnnamed(mode: mode))
            name = nil
        } catch {
            guard error.meansNoUnnamedFiles else { throw error }
            let (file, name) = try Self.named(in: folder, mode: mode)
            self.file = file
            self.name = name
        }
    }

    deinit { if let name { _ = try? folder.remove(name) } }

    /// Gives it its name. What has that name already stays, or is replaced: it should be an equal file.
    public func link(as new: String) throws(SystemError) {
        if let name { return try folder.rename(name, new) }
        do {
            try folder.link(file.descriptor, as: new)
        } catch {
            if error.errno != EEXIST { throw error }
        }
    }

    /// Gives it its name in another folder of its file system. `EEXIST`: something has that name.
    public func link(as new: String, in other: Folder) throws(SystemError) {
        guard let name else { return try other.link(file.descriptor, as: new) }
        try folder.move(name, new, to: other)
    }

    /// Gives it its name, in place of what has it, which is never a part of it: `EISDIR` for a folder.
    public func replace(as new: String) throws(SystemError) {
        if let name { return try folder.rename(name, new) }
        do {
            return try folder.link(file.descriptor, as: new)
        } catch {
            if error.errno != EEXIST { throw error }
        }
        // A link takes nobody's place: it gets another name first. Whoever is killed in between leaves that one, unlocked.
        Self.removeAbandoned(in: folder)
        _ = try? file.descriptor.lockIfFree()
        let name = Self.newName()
        try folder.link(file.descriptor, as: name)
        do {
            try folder.rename(name, new)
        } catch {
            _ = try? folder.remove(name)
            throw error
        }
    }

    private static func newName() -> String { "\(prefix)\(UInt64.random(in: 0...UInt64.max))" }

    /// A new file with a name of its own, locked.
    fileprivate static func named(
        in folder: Folder, mode: mode_t
    ) throws(SystemError) -> (DescriptorBox, name: String) {
        removeAbandoned(in: folder)
        while true {
            let name = newName()
            let file: DescriptorBox
            do throws(SystemError) {
                file = DescriptorBox(try folder.make(name, mode: mode))
            } catch {
                if error.errno == EEXIST { continue }
                throw error
            }
            // If nothing can be locked here, nothing is taken for abandoned.
            let isLocked = (try? file.descriptor.lockIfFree()) ?? true
            // Between its making and its lock another process may have taken it away.
            if isLocked, (try? folder.status(of: name)) != nil { return (file, name) }
            _ = try? folder.remove(name)
        }
    }

    private static func removeAbandoned(in folder: Folder) {
        for name in (try? folder.names()) ?? [] where name.hasPrefix(prefix) {
            // What is no file of this user's is none that was left behind.
            guard let file = try? folder.openOwn(name, O_RDWR), (try? file.lockIfFree()) == true else { continue }
            _ = try? folder.remove(name)
        }
    }
}
