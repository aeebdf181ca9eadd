import Glibc
import Sandbox
import Scheduler
import Store
import System

/// The engine's side of one worker: its socket, its output, its limits, and what it has said.
///
/// Used on the engine's thread alone.
final class Worker {
    let id: Scheduler.WorkerID
    /// What the zygote calls it; unique among all runs of the engine.
    let name: String
    /// Its place in the scheduler's list of models.
    let model: Int
    /// What it is forked from.
    let zygote: ZygoteProcess
    let channel: Channel
    /// The read end of the pipe that is the worker's standard output and error.
    let output: LineReader
    let identity: WorkerIdentity?

    /// What its model was granted; nil as long as it only waits.
    var grant: Scheduler.Grant?
    /// When it was sent its inputs, in nanoseconds of the monotonic clock.
    var sentAt: UInt64 = 0
    /// What its output segment had faulted in before, in bytes: charged to nobody's control group any more.
    var recycledBytes: UInt64 = 0
    /// The memory that its output took when it was dead, in bytes.
    var outputBytes: UInt64 = 0
    /// The most memory that it held, in bytes; known when it is dead.
    var memoryBytes: UInt64 = 0
    /// The kernel killed it, or what it started, because a limit was reached.
    var wasKilledForMemory = false
    var cgroup: WorkerCgroup?
    /// Held once the zygote has answered.
    var pidfd: ProcessDescriptor?
    /// It is being put into its control group; the scheduler does not know yet that it is there.
    var isEntering = false
    /// The segment its result is written to; the store's, until it is sealed or discarded.
    var segment: SegmentID?
    /// What it published; nil before.
    var published: Published?
    /// What it has to do with DeCache; nil before it asks.
    var scan: Scan?
    /// The text of a preview.
    var text: String?
    /// When it is too late for whatever it is doing, in nanoseconds of the monotonic clock.
    var deadline: UInt64?
    /// When it was killed, in nanoseconds of the monotonic clock.
    var killedAt: UInt64?
    /// The memory that its zygote had when it was forked, in bytes: what it began with.
    var zygoteBytes: UInt64 = 0
    /// The zygote's last word on it.
    var exit: Exit?
    /// When the engine learned of each step, in milliseconds of the monotonic clock: `fork_at_ms` and so on.
    var marks: [String: Double] = [:]

    /// Notes that a step was reached.
    func mark(_ step: String) { marks[step + "_at_ms"] = Double(MonotonicClock.nanoseconds()) / 1e6 }

    /// What the store calls it.
    var storeID: Store.WorkerID { Store.WorkerID(rawValue: name) }

    /// Kills it and, where it has a pid namespace or a control group, all that it started.
    func killProcesses() {
        cgroup?.kill()
        // ESRCH: it is dead already, and its end is on its way.
        try? pidfd?.send(signal: SIGKILL)
    }

    /// What the zygote reported when the worker and all it started were dead.
    struct Exit {
        var status: Int32
        var signal: Int32?
        var memoryBytesMax: UInt64
        var cpuMilliseconds: Double
    }

    init(
        id: Scheduler.WorkerID, name: String, model: Int, zygote: ZygoteProcess, channel: Channel, output: LineReader,
        identity: WorkerIdentity?
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

extension Worker {
    /// A scan that asked DeCache.
    struct Scan {
        /// Whether it was told what is there.
        var isAnswered = false
        /// What it decoded, with a SIPC descriptor each.
        var pieces: [(block: ScanBlock, descriptor: DescriptorBox)] = []
    }

    /// A `published` message. Its descriptor is read when the worker and all that it started are dead, in the background.
    struct Published {
        /// The most bytes a SIPC descriptor may have; ten thousand columns in thousands of batches stay far below.
        static let descriptorBytesMax = 1 << 30

        var descriptor: DescriptorBox
        var rows: Int64
        var counts: ByteCounts
        var moves: KernelZeroReport?
        var decache: DeCacheReport?
        /// A file of the project that it read and that was changed after the plan was made: the plan's keys are not those of
        /// what ran.
        var changedFile: String?
        /// What the model asked the world for as it ran, and where: its result is like no other run's.
        var asked: String?
        var timing: [String: Double]

        /// Reads the message; nil when anything is missing from it.
        init?(_ message: Datagram, _ descriptors: [DescriptorBox]) {
            guard descriptors.count == 1, let rows = message.body["rows"]?.integer, rows >= 0,
                let counts = message.counts
            else { return nil }
            descriptor = descriptors[0]
            self.rows = rows
            self.counts = counts
            moves = message.moves
            decache = message.decache
            changedFile = message.body["changed"]?.array?.first.map { $0.string ?? "a file" }
            asked = message.body["asked"]?.array?.first.map { $0.string ?? "something" }
            timing = message.timing
        }

        /// The content of a file that a worker sent; nil when it is too long, or no file.
        static func bytes(of file: DescriptorBox) -> [UInt8]? {
            guard let status = try? file.descriptor.status(), status.bytes <= descriptorBytesMax else { return nil }
            return try? file.descriptor.bytes(0..<status.bytes)
        }
    }
}

extension Scheduler.WorkerError {
    /// Reads a worker's `error` member; what is missing gets a word that says so.
    init(_ body: JSONValue?) {
        self.init(
            kind: body?["kind"]?.string ?? "internal", message: body?["message"]?.string ?? "the worker gave no reason",
            traceback: body?["traceback"]?.string, file: body?["file"]?.string,
            line: body?["line"]?.integer.map { Int(clamping: $0) })
    }
}
