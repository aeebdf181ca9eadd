import System

/// Moments of the monotonic clock, in nanoseconds, at which something has taken too long.
enum Deadline {
    /// The moment in so many seconds; the end of time for more than there are, now for none or less.
    static func after(seconds: Double) -> UInt64 {
        let now = MonotonicClock.nanoseconds()
        guard seconds > 0 else { return now }
        guard seconds < 1e9 else { return .max }
        return now + UInt64(seconds * 1e9)
    }
}
