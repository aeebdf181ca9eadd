import System

/// Moments of the monotonic clock, in nanoseconds, at which an action has taken too long.
enum Deadline {
    /// The moment in so many seconds: the end of time for more seconds than there are, now for none or less.
    static func after(seconds: Double) -> UInt64 {
        let now = MonotonicClock.nanoseconds()
        guard seconds > 0 else { return now }
        guard seconds < 1e9 else { return .max }
        return now + UInt64(seconds * 1e9)
    }
}

/// Something that is done from time to time.
struct Interval {
    private let nanoseconds: UInt64
    private var beganAt: UInt64 = 0

    init(seconds: Double) { nanoseconds = UInt64(seconds * 1e9) }

    /// Whether it is time; the next interval then begins.
    mutating func isOver() -> Bool {
        let now = MonotonicClock.nanoseconds()
        guard now - beganAt >= nanoseconds else { return false }
        beganAt = now
        return true
    }
}
