import CLinux
import Glibc

extension SystemCall {
    /// Making a copy of this process.
    public static let fork: SystemCall = "fork"
}

/// A copy of this process that outlives its terminal.
public enum DetachedProcess {
    /// Which of the two a process is.
    public enum Side {
        /// The one that was called.
        case caller
        /// The copy.
        case detached
    }

    /// Makes a copy of this process, which must have one thread. The copy has a session of its own, `/dev/null` in place of the three
    /// standard streams, and of the caller's other descriptors none: whoever waits for their end waits for nobody.
    public static func fork() throws(SystemError) -> Side {
        fflush(nil)
        let child = try perform(.fork, "this process") { zerrow_fork() }
        guard child == 0 else { return .caller }
        // It leads no session and no group: this can't fail.
        _ = setsid()
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        if null >= 0 {
            for number in Int32(0)...2 { dup2(null, number) }
            close(null)
        }
        // All that this program has opened is closed on exec; the rest is what it was started with.
        for name in (try? Files.list("/proc/self/fd")) ?? [] {
            guard let number = Int32(name), number > 2 else { continue }
            let flags = fcntl(number, F_GETFD)
            if flags >= 0, flags & FD_CLOEXEC == 0 { close(number) }
        }
        return .detached
    }
}
