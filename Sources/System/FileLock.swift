import Glibc

extension SystemCall {
    /// Locking a file as a whole.
    public static let lock: SystemCall = "flock"
}

extension FileDescriptor {
    /// Locks the open file as a whole, for as long as a descriptor of it is open; false when another process has.
    /// Source: flock(2).
    public func lockIfFree() throws(SystemError) -> Bool {
        let raw = self.raw
        do {
            try perform(.lock, "descriptor \(raw)") { flock(raw, LOCK_EX | LOCK_NB) }
            return true
        } catch  where error.errno == EWOULDBLOCK {
            return false
        }
    }
}

extension Files {
    /// What tells one build of a file from another, and one file from another: device, inode, size and time of change.
    public static func identity(_ path: String) throws(SystemError) -> String {
        var status = stat()
        try perform("stat", path) { stat(path, &status) }
        return "\(status.st_dev)-\(status.st_ino)-\(status.st_size)-\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    /// Whether a path is a folder (no link to one) that nobody but this user can change.
    public static func isPrivateFolder(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && status.st_mode & 0o022 == 0
    }
}
