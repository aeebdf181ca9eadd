import Glibc

extension SystemCall {
    /// Locking a file as a whole.
    public static let lock: SystemCall = "flock"
}

extension FileDescriptor {
    /// Locks the open file as a whole, for as long as a descriptor of it is open; false when another process has locked it.
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

    /// Whether somebody has locked the open file. Looking keeps nobody else from looking, but may keep a new lock from being taken.
    public func isLocked() throws(SystemError) -> Bool {
        let raw = self.raw
        do {
            try perform(.lock, "descriptor \(raw)") { flock(raw, LOCK_SH | LOCK_NB) }
            _ = flock(raw, LOCK_UN)
            return false
        } catch  where error.errno == EWOULDBLOCK {
            return true
        }
    }
}
