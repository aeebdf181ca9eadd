import Glibc

extension SystemCall {
    /// Locking a file as a whole.
    public static let lock: SystemCall = "flock"
}

extension FileDescriptor {
    /// Locks the open file as a whole, for as long as a descriptor of it is open; false when another process has locked it.
    /// Source: flock(2).
    ///
    /// - Parameter isShared: whether others may lock it so at the same time.
    public func lockIfFree(isShared: Bool = false) throws(SystemError) -> Bool {
        let raw = self.raw
        do {
            try perform(.lock, "descriptor \(raw)") { flock(raw, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) }
            return true
        } catch  where error.errno == EWOULDBLOCK {
            return false
        }
    }
}
