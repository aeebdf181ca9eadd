import Sandbox
import System

/// The engine's side of one zygote.
final class ZygoteProcess {
    enum State { case starting, ready, dead }

    let key: ZygoteKey
    let zygote: Zygote
    let channel: Channel
    let output: LineReader
    var state = State.starting
    /// When a run that uses it last began, in nanoseconds of the monotonic clock.
    var usedAt = MonotonicClock.nanoseconds()
    /// Its last lines, for the message when it fails.
    var lastLines: [String] = []
    /// The moment at which it is too late to become ready, in nanoseconds of the monotonic clock.
    let deadline: UInt64

    init(key: ZygoteKey, zygote: Zygote, channel: Channel, output: LineReader, deadline: UInt64) {
        self.key = key
        self.zygote = zygote
        self.channel = channel
        self.output = output
        self.deadline = deadline
    }

    /// Keeps the lines that were printed while it started.
    func record(_ lines: [String]) {
        lastLines = Array((lastLines + lines).suffix(20))
    }
}
