import Glibc

extension SystemCall {
    /// Locking a file as a whole.
    public static let lock: SystemCall = "flock"
    /// Setting a file's times.
    public static let setTimes: SystemCall = "futimens"
}

extension FileDescriptor {
    /// Locks the open file as a whole, for as long as a descriptor of it is open; false when another process has locked it.
    /// Source: flock(2).
    public func lockIfFree() throws(SystemError) -> Bool { try lock(LOCK_EX) }

    /// Locks it beside others that lock it like this; false when another process has it for itself.
    public func shareLockIfFree() throws(SystemError) -> Bool { try lock(LOCK_SH) }

    private func lock(_ kind: Int32) throws(SystemError) -> Bool {
        let raw = self.raw
        do {
            try perform(.lock, "descriptor \(raw)") { flock(raw, kind | LOCK_NB) }
            return true
        } catch  where error.errno == EWOULDBLOCK {
            return false
        }
    }

    /// Says that the file was changed and read just now.
    public func touch() throws(SystemError) {
        let raw = self.raw
        try perform(.setTimes, "descriptor \(raw)") { futimens(raw, nil) }
    }
}
