import Glibc
import Sandbox
import Scheduler
import Store
import System

/// The engine's side of one worker: its socket, its output, its limits, and the messages it has sent.
///
/// Used on the engine's thread alone.
final class WorkerProcess {
    let id: Scheduler.WorkerID
    /// The zygote's name for it; unique among all runs of the engine.
    let name: String
    /// Its place in the scheduler's list of models.
    let model: Int
    /// What it is forked from.
    let zygote: ZygoteProcess
    let channel: Channel
    /// The read end of the pipe that is the worker's standard output and error.
    let output: LineReader
    let identity: WorkerUser?

    /// The grant of its model; nil as long as it only waits.
    var grant: Scheduler.Grant?
    /// When it was sent its inputs, in nanoseconds of the monotonic clock.
    var sentAt: UInt64 = 0
    /// The bytes of its output segment that were faulted in before: these are charged to nobody's control group any more.
    var recycledBytes: UInt64 = 0
    /// The memory that its output took when it was dead, in bytes.
    var outputBytes: UInt64 = 0
    /// The most memory that it held, in bytes; known when it is dead.
    var memoryBytes: UInt64 = 0
    /// Whether the kernel killed it, or a process that it started, because a limit was reached.
    var wasKilledForMemory = false
    var cgroup: WorkerCgroup?
    /// Its pidfd; there once the zygote has answered.
    var pidfd: ProcessDescriptor?
    /// Whether it is being put into its control group; the scheduler does not know yet that it is there.
    var isEntering = false
    /// The segment its result is written to; the store's, until it is sealed or discarded.
    var segment: SegmentID?
    /// The result that it published; nil before.
    var published: WorkerMessage.Publication?
    /// How many bytes of SIPC descriptors it may still send.
    var descriptorBytesLeft = Limit.descriptorBytesMin
    /// Its dealings with DeCache; nil before it asks.
    var scan: Scan?
    /// The text of a preview.
    var text: String?
    /// The moment at which its present step has taken too long, in nanoseconds of the monotonic clock.
    var deadline: UInt64?
    /// When it was killed, in nanoseconds of the monotonic clock.
    var killedAt: UInt64?
    /// The memory that its zygote had when it was forked, in bytes: it began with that.
    var zygoteBytes: UInt64 = 0
    /// The zygote's report of its end.
    var exit: Exit?
    /// When the engine learned of each step, in milliseconds of the monotonic clock: `fork_at_ms` and so on.
    var marks: [String: Double] = [:]

    /// Notes that a step was reached.
    func mark(_ step: String) { marks[step + "_at_ms"] = Double(MonotonicClock.nanoseconds()) / 1e6 }

    /// The store's name for it.
    var storeID: BorrowerID { BorrowerID(rawValue: name) }

    /// Kills it and, if it has a pid namespace or a control group, all processes that it started.
    func killProcesses() {
        cgroup?.kill()
        // ESRCH: it is dead already, and its end is on its way.
        try? pidfd?.send(signal: SIGKILL)
    }

    /// The zygote's report when the worker and all it started were dead.
    struct Exit {
        var status: Int32
        var signal: Int32?
        var memoryBytesMax: UInt64
        var cpuMilliseconds: Double
    }

    init(
        id: Scheduler.WorkerID, name: String, model: Int, zygote: ZygoteProcess, channel: Channel, output: LineReader,
        identity: WorkerUser?
    ) {
        self.id = id
        self.name = name
        self.model = model
        self.zygote = zygote
        self.channel = channel
        self.output = output
        self.identity = identity
    }
}

extension WorkerProcess {
    /// A scan that asked DeCache.
    struct Scan {
        /// Whether it got its answer.
        var isAnswered = false
        /// The pieces that it decoded, each with a SIPC descriptor.
        var pieces: [(block: ScanBlock, descriptor: ReceivedFile)] = []
        /// How many messages it has given pieces in.
        var messageCount = 0
    }

    /// The most bytes of SIPC descriptors that a worker may send: a part of its memory, as it had to write them there.
    static func descriptorBytesMax(memoryBytesMax: Int?) -> Int {
        let part = memoryBytesMax.map { $0 / Limit.descriptorMemoryParts } ?? Limit.descriptorBytesMax
        return min(max(part, Limit.descriptorBytesMin), Limit.descriptorBytesMax)
    }
}
