import CLinux

/// What a process says when one of its own checks ends it.
public enum TrapReport {
    /// From now on a trap says where it was, also one of arithmetic, which Swift ends without a word.
    ///
    /// The reasons of preconditions are printed by themselves: Package.swift has them checked as in a debug build.
    public static func begin() {
        // Without it, a trap is as silent as it was.
        _ = zerrow_trap_report()
    }
}
