import CLinux
import Glibc

/// A folder that is open: what is done in it goes through its descriptor, so that it stays this folder whatever becomes of its name.
///
/// Names are those of its entries, and have no slash. No call follows a link that an entry is, and none waits for a FIFO or a device.
public final class Folder: Sendable {
    /// The name that it was opened by, for messages; nothing is looked up by it.
    public let path: String
    private let descriptor: FileDescriptor

    /// Opens a folder. Links in its own name are followed: they are its caller's.
    public init(_ path: String) throws(SystemError) {
        descriptor = try FileDescriptor.open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK)
        self.path = path
    }

    private init(_ descriptor: consuming FileDescriptor, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// The number of its descriptor. It is valid as long as the folder lives.
    public var raw: Int32 { descriptor.raw }

    /// A name by which the kernel finds an entry of this very folder, for libraries and calls that take only paths.
    public func kernelPath(_ name: String) -> String { "/proc/self/fd/\(raw)/\(name)" }

    /// Locks the folder itself, for as long as a descriptor of this opening is open in any process; false when somebody else has locked it.
    public func lockIfFree() throws(SystemError) -> Bool { try descriptor.lockIfFree() }

    /// Why others than this user could put things there, and what to do; nil when only this user (and root) can.
    public func sharing() throws(SystemError) -> String? {
        let status = try descriptor.status()
        guard status.owner == geteuid() else {
            return "it belongs to user \(status.owner), who could put anything there; name a folder of your own"
        }
        // Where there is an access control list, the group's bits are the most that it gives anybody.
        guard status.mode & 0o022 == 0 else {
            let mode = String(status.mode, radix: 8)
            let problem = "others may write to it (mode \(mode)), and could put anything there"
            return "\(problem); 'chmod go-w' it, or name a folder of your own"
        }
        return nil
    }

    /// What an entry is, without opening it; nil when there is none of that name.
    public func status(of name: String) throws(SystemError) -> FileStatus? {
        var value = stat()
        do {
            try perform(.statusByName, "\(path)/\(name)") { fstatat(raw, name, &value, AT_SYMLINK_NOFOLLOW) }
            return FileStatus(value)
        } catch {
            if error.errno == ENOENT { return nil }
            throw error
        }
    }

    /// Opens an entry that is a file of this user's alone, and nothing else.
    ///
    /// - Throws: `UnfitEntry` for anything else, or when it can't be opened.
    public func openOwn(_ name: String, _ flags: Int32 = O_RDONLY) throws(UnfitEntry) -> FileDescriptor {
        do {
            // A device may act on being opened: what it is, is asked before, and once more of what was opened.
            guard let status = try status(of: name) else { throw UnfitEntry(name, nil) }
            if let what = status.unfitness() { throw UnfitEntry(name, what) }
            let raw = self.raw
            let file = FileDescriptor(
                owning: try perform(.open, "\(path)/\(name)") {
                    openat(raw, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
                })
            if let what = try file.status().unfitness() { throw UnfitEntry(name, what) }
            return file
        } catch let error as SystemError {
            throw UnfitEntry(name, error.errno == ENOENT ? nil : SystemError.reason(error.errno))
        } catch let error as UnfitEntry {
            throw error
        } catch {
            preconditionFailure("only these two errors are thrown above")
        }
    }

    /// Opens a file of this user's alone for reading and writing, or makes it.
    public func openOrMakeOwn(_ name: String) throws -> FileDescriptor {
        do {
            return try make(name)
        } catch  where error.errno == EEXIST {
            return try openOwn(name, O_RDWR)
        }
    }

    /// Makes a file that is not there yet, for this user alone. `EEXIST`: something of that name is there, a link that leads nowhere too.
    public func make(_ name: String, mode: mode_t = 0o600) throws(SystemError) -> FileDescriptor {
        let raw = self.raw
        return FileDescriptor(
            owning: try perform(.open, "\(path)/\(name)") {
                zerrow_open_at(raw, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
            })
    }

    /// A new file without a name, for reading and writing. `EOPNOTSUPP`, `EISDIR`, `ENOENT`, `EINVAL`: there are no such files here.
    func makeUnnamed(mode: mode_t) throws(SystemError) -> FileDescriptor {
        let raw = self.raw
        return FileDescriptor(owning: try perform(.makeUnnamed, path) { zerrow_unnamed_file(raw, mode) })
    }

    /// Gives an open file that never had one a name. `EEXIST`: something has it.
    func link(_ file: borrowing FileDescriptor, as name: String) throws(SystemError) {
        let source = "/proc/self/fd/\(file.raw)"
        let raw = self.raw
        try perform(.link, "\(path)/\(name)") { linkat(AT_FDCWD, source, raw, name, AT_SYMLINK_FOLLOW) }
    }

    /// Removes an entry that is no folder; of a link, the link.
    public func remove(_ name: String) throws(SystemError) {
        let raw = self.raw
        try perform(.unlink, "\(path)/\(name)") { unlinkat(raw, name, 0) }
    }

    /// Gives an entry another name in this folder, in place of what had it.
    public func rename(_ name: String, _ new: String) throws(SystemError) {
        let raw = self.raw
        try perform(.rename, "\(path)/\(name) to \(new)") { renameat(raw, name, raw, new) }
    }

    /// Gives an entry another name in another folder.
    func move(_ name: String, _ new: String, to other: Folder) throws(SystemError) {
        let (raw, target) = (self.raw, other.raw)
        try perform(.rename, "\(path)/\(name) to \(other.path)/\(new)") { renameat(raw, name, target, new) }
    }

    /// Makes a folder in it. One that is there stays.
    public func makeFolder(_ name: String, mode: mode_t) throws(SystemError) {
        let raw = self.raw
        do {
            try perform(.makeDirectory, "\(path)/\(name)") { mkdirat(raw, name, mode) }
        } catch {
            if error.errno != EEXIST { throw error }
        }
    }

    /// Opens a folder in it. `ENOTDIR` or `ELOOP` for anything else, links too.
    public func folder(_ name: String) throws(SystemError) -> Folder {
        let raw = self.raw
        return Folder(
            FileDescriptor(
                owning: try perform(.open, "\(path)/\(name)") {
                    zerrow_open_at(raw, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0)
                }), "\(path)/\(name)")
    }

    /// Removes a file that lies some folders below, without following links.
    public func removeBelow(_ path: String) throws(SystemError) {
        var parts = path.split(separator: "/").map(String.init)
        guard let name = parts.popLast() else { return }
        var place: Folder?
        for part in parts { place = try (place ?? self).folder(part) }
        try (place ?? self).remove(name)
    }

    /// Writes the folder itself to its disk: the names in it are there for good.
    public func synchronize() throws(SystemError) { try descriptor.synchronizeFolder() }

    /// The names of its entries, sorted, without `.` and `..`.
    public func names() throws(SystemError) -> [String] { try Files.list("/proc/self/fd/\(raw)/.") }

    /// The room that is left on its file system for this user, in bytes.
    public func bytesFree() throws(SystemError) -> UInt64 {
        let raw = self.raw
        var disk = statvfs()
        try perform(.fileSystem, path) { fstatvfs(raw, &disk) }
        return UInt64(disk.f_bavail) * UInt64(disk.f_frsize)
    }
}

/// An entry of a folder that is not there, or that is no file of this user's alone.
public struct UnfitEntry: Error, Equatable, Sendable, CustomStringConvertible {
    /// Whether there is none of that name.
    public let isMissing: Bool
    /// The entry's name, and what it is.
    public let description: String

    fileprivate init(_ name: String, _ what: String?) {
        isMissing = what == nil
        description = "\(name) \(what.map { "is not used: \($0)" } ?? "is not there")"
    }
}

extension FileStatus {
    /// How many times larger a file may be than what it takes on its disk: file systems compress, but what is nearly all hole was made
    /// to be read for ever.
    private static let sparsenessMax = 64

    /// Whether next to nothing of the file is there, so that it is far longer than what it takes.
    public var isNearlyHole: Bool { bytes / Self.sparsenessMax > residentBytes + 1 << 20 }

    /// Whether this is a file of this user's alone.
    public var isOwnFile: Bool { unfitness() == nil }

    /// Why this is no file that only its user, who is this one, can have written; nil when it is one.
    func unfitness() -> String? {
        switch kind {
        case S_IFREG: break
        case S_IFIFO: return "it is a FIFO"
        case S_IFLNK: return "it is a symbolic link"
        case S_IFDIR: return "it is a folder"
        case S_IFSOCK: return "it is a socket"
        default: return "it is a device"
        }
        if owner != geteuid() { return "it belongs to user \(owner)" }
        if mode & 0o022 != 0 { return "others may write to it (mode \(String(mode, radix: 8)))" }
        if links > 1 { return "it has \(links) names" }
        if isNearlyHole { return "nearly all of its \(bytes) bytes are a hole" }
        return nil
    }
}
