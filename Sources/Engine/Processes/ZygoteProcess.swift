import Sandbox
import System

/// The engine's side of one zygote.
final class ZygoteProcess {
    enum State {
        /// Its process is being started.
        case spawning
        /// It imports its packages.
        case starting
        /// It forks workers.
        case ready
        /// It is dead, or is killed now.
        case dead
    }

    let key: ZygoteKey
    let channel: Channel
    let output: LineReader
    var state = State.spawning
    /// The process; nil before it is there.
    var process: Zygote?
    /// The runs that have asked for it and are not over.
    var runs: Set<Int> = []
    /// When a run last asked for it, in nanoseconds of the monotonic clock.
    var usedAt = MonotonicClock.nanoseconds()
    /// Its last lines, for the message when it fails.
    private(set) var lastLines: [String] = []
    /// When it is too late to become ready, in nanoseconds of the monotonic clock.
    let deadline: UInt64

    init(key: ZygoteKey, channel: Channel, output: LineReader, deadline: UInt64) {
        self.key = key
        self.channel = channel
        self.output = output
        self.deadline = deadline
    }

    /// Keeps the lines that were printed while it started.
    func record(_ lines: [String]) {
        lastLines = Array((lastLines + lines).suffix(20))
    }
}
