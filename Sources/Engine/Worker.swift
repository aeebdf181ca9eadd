import Scheduler
import Sandbox
import Store
import System

/// The engine's side of one worker: its socket, its output, its limits, and what it has said.
///
/// Used on the engine's thread alone.
final class Worker {
    let id: Scheduler.WorkerID
    let model: Int
    let key: ZygoteKey
    let channel: Channel
    /// The read end of the pipe that is the worker's standard output and error.
    let output: LineReader
    let startedAt: Instant
    let identity: WorkerIdentity?
    let cgroup: WorkerCgroup?

    /// Held once the zygote has answered; readable when the worker is dead.
    var pidfd: FileDescriptor?
    /// The segment its result is written to; owned by the store.
    var segment: Segment?
    /// What it published; nil before.
    var published: Published?
    /// The text of a preview.
    var text: String?
    /// When it is too late, for whatever it is doing.
    var deadline: Instant?
    /// The zygote's last word on it.
    var exit: Exit?

    /// A `published` message, its descriptor already read: the worker can change it no more.
    struct Published {
        var descriptor: [UInt8]
        var rows: Int64
        var counts: ByteCounts
        var timing: [String: Double]
    }

    /// What the zygote reported when the worker and all it started were dead.
    struct Exit {
        var status: Int32
        var signal: Int32?
        var memoryBytesMax: UInt64
        var cpuMilliseconds: Double
    }

    init(
        id: Scheduler.WorkerID, model: Int, key: ZygoteKey, channel: Channel, output: LineReader, startedAt: Instant,
        identity: WorkerIdentity?, cgroup: WorkerCgroup?
    ) {
        self.id = id
        self.model = model
        self.key = key
        self.channel = channel
        self.output = output
        self.startedAt = startedAt
        self.identity = identity
        self.cgroup = cgroup
    }
}
