import Glibc

extension SystemCall {
    /// Giving a file to another user.
    public static let changeOwner: SystemCall = "fchown"
    /// Asking where a descriptor leads to.
    public static let readLink: SystemCall = "readlink"
}

/// A folder on a disk for what one process needs there while it lives, with folders in it. It may lie in a place that is everybody's, as
/// /var/tmp is.
///
/// It is locked. One that is not was left behind by a process that was killed: the next one that is made in that place removes it.
/// What it does waits for the disk.
public final class ScratchPlace: Sendable {
    /// Its absolute path, without links, for processes that have no descriptor of it.
    public let path: String
    private let place: Folder
    private let name: String
    private let folder: Folder

    /// What the names of all of them begin with.
    public static let prefix = ".zerrow-scratch-"

    /// A new one in a place, which this user alone can enter.
    public init(in path: String) throws(SystemError) {
        let place = try Folder(path)
        Self.removeAbandoned(in: place)
        while true {
            let name = "\(Self.prefix)\(UInt64.random(in: 0...UInt64.max))"
            try place.makeFolder(name, mode: 0o700)
            guard let folder = try? place.folder(name) else { continue }
            let isLocked = (try? folder.lockIfFree()) ?? true
            // Between its making and its lock another process may have taken it away.
            guard isLocked, (try? place.status(of: name)) != nil else { continue }
            self.place = place
            self.name = name
            self.folder = folder
            self.path = try folder.realPath()
            return
        }
    }

    /// Makes a folder in it that one user alone can enter; nil: this process's.
    ///
    /// - Returns: its absolute path, without links.
    public func make(_ name: String, owner: (user: UInt32, group: UInt32)?) throws(SystemError) -> String {
        try folder.makeFolder(name, mode: 0o700)
        if let owner { try folder.folder(name).give(toUser: owner.user, group: owner.group) }
        return "\(path)/\(name)"
    }

    /// Removes a folder in it, with all that is there. What can't be removed goes with the place, or is thrown there.
    public func remove(_ name: String) { try? FolderTree.remove(folder.kernelPath(name)) }

    /// The room that is left on its disk for this user, in bytes.
    public func bytesFree() throws(SystemError) -> UInt64 { try folder.bytesFree() }

    /// Removes it with all that is in it.
    public func remove() { try? FolderTree.remove(place.kernelPath(name)) }

    /// Removes one that a killed process had, by the path that it said; whoever may still write there is ending, and waited for.
    ///
    /// - Returns: whether it is gone.
    @discardableResult
    public static func removeLeft(at path: String, attempts: Int = 100) -> Bool {
        guard path.split(separator: "/").last?.hasPrefix(prefix) == true, path.hasPrefix("/") else { return false }
        for _ in 0..<attempts {
            if (try? FolderTree.remove(path)) != nil { return true }
            usleep(100_000)
        }
        return false
    }

    /// What is no folder of this user's is none that was left behind.
    private static func removeAbandoned(in place: Folder) {
        for name in (try? place.names()) ?? [] where name.hasPrefix(prefix) {
            do {
                let folder = try place.folder(name)
                guard try folder.sharing() == nil, try folder.lockIfFree() else { continue }
                try FolderTree.remove(place.kernelPath(name))
            } catch { continue }
        }
    }
}

extension Folder {
    /// Gives it to a user.
    fileprivate func give(toUser user: UInt32, group: UInt32) throws(SystemError) {
        let raw = self.raw
        try perform(.changeOwner, path) { fchown(raw, user, group) }
    }

    /// Its absolute path as the kernel knows it.
    fileprivate func realPath() throws(SystemError) -> String {
        var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let link = "/proc/self/fd/\(raw)"
        let count = try perform(.readLink, link) {
            bytes.withUnsafeMutableBytes { readlink(link, $0.baseAddress!, $0.count) }
        }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
