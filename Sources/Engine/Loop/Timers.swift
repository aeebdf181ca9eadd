import System

/// What is to be called from the loop, and when.
final class Timers {
    private var timers: [(at: UInt64, handler: () -> Void)] = []

    /// Calls something from the loop in so many seconds, and up to a tenth of one later.
    func after(seconds: Double, _ handler: @escaping () -> Void) {
        timers.append((Deadline.after(seconds: seconds), handler))
    }

    /// Calls what is due at a moment of the monotonic clock, each once, in the order in which it was set.
    func callDue(_ now: UInt64) {
        let due = timers.filter { $0.at <= now }
        timers.removeAll { $0.at <= now }
        for timer in due { timer.handler() }
    }
}
