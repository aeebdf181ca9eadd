import CLinux

/// The report of a process that one of its own checks ends.
public enum TrapReport {
    /// Makes every trap report where it was, also one of arithmetic, which Swift ends without a word.
    ///
    /// The reasons of preconditions are printed by themselves: Package.swift has them checked as in a debug build.
    public static func begin() {
        // Without it, a trap is as silent as it was.
        _ = zerrow_trap_report()
    }
}
