import CLinux
import Glibc

/// A process that ends with the one that started it, also where that is killed.
public enum ParentLife {
    /// The environment variable by which a process is told that: it holds the number of its parent. What the process starts doesn't have it.
    public static let variable = "ZERROW_PARENT"

    /// Has the kernel end this process by SIGTERM when the thread that started it ends, if the environment asks for that. Ends it at once if
    /// that has happened. To be called before there are other threads.
    public static func follow() {
        guard let text = getenv(variable), let parent = pid_t(String(cString: text)) else { return }
        unsetenv(variable)
        guard zerrow_signal_with_parent(SIGTERM) == 0, getppid() == parent else { exit(1) }
    }
}
