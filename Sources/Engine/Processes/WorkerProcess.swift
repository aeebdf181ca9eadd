import Catalog
import Glibc
import Sandbox
import Scheduler
import Store
import System

/// The engine's side of one worker: its socket, its output, its limits, and what became of it, step by step.
///
/// Owns all of that; the run says when a step is reached. Used on the engine's thread alone.
final class WorkerProcess {
    /// Seconds a worker may take to enter its sandbox, and to leave after its last message.
    static let graceSeconds = 60.0

    let id: Scheduler.WorkerID
    /// The zygote's name for it; unique among all runs of the engine.
    let name: String
    /// Its model's place in the scheduler's list. Before it is sent its inputs, that may become another one of the same environment.
    private(set) var model: Int
    /// What it is forked from.
    let zygote: ZygoteProcess
    let channel: Channel
    /// The read end of the pipe that is the worker's standard output and error.
    let output: LineReader
    let identity: WorkerUser?
    /// The memory that its zygote had when it was forked, in bytes: it began with that.
    private let zygoteBytes: UInt64

    private(set) var cgroup: WorkerCgroup?
    /// Its pidfd; there once the zygote has answered.
    private(set) var pidfd: ProcessDescriptor?
    /// Whether it is being put into its control group; the scheduler does not know yet that it is there.
    private(set) var isEntering = false
    /// Its folder on a disk; nil where it has none.
    var scratch: ScratchFolder?
    /// The grant of its model; nil as long as it only waits.
    private(set) var grant: Scheduler.Grant?
    /// When it was sent its inputs, in nanoseconds of the monotonic clock.
    private(set) var sentAt: UInt64 = 0
    /// The bytes of its output segment that were faulted in before: these are charged to nobody's control group any more.
    private var recycledBytes: UInt64 = 0
    /// How many bytes of SIPC descriptors it may still send.
    private(set) var descriptorBytesLeft = Limit.descriptorBytesMin
    /// Its dealings with DeCache; nil before it asks.
    private(set) var scan: Scan?
    /// The result that it published; nil before.
    private(set) var published: WorkerMessage.Publication?
    /// The files that it was given as a materialization, and its account of them.
    private(set) var written = WrittenFiles()
    /// Whether it has asked for a file to write its result to.
    private(set) var hasWantedRoom = false
    /// Whether its table is there, though it lives.
    private(set) var isHandedOver = false
    /// The text of a preview.
    private(set) var text: String?
    /// The moment at which its present step has taken too long, in nanoseconds of the monotonic clock.
    private var deadline: UInt64?
    /// When it was killed, in nanoseconds of the monotonic clock.
    private var killedAt: UInt64?
    /// The zygote's report of its end.
    private(set) var exit: Exit?
    /// The memory that its output took when it was dead, in bytes.
    private(set) var outputBytes: UInt64 = 0
    /// When the engine learned of each step, in milliseconds of the monotonic clock: `fork_at_ms` and so on.
    private(set) var marks: [String: Double] = [:]

    /// The zygote's report when the worker and all it started were dead.
    struct Exit {
        var status: Int32
        var signal: Int32?
        var memoryBytesMax: UInt64
        var cpuMilliseconds: Double
    }

    /// A worker that its zygote is going to be asked for.
    ///
    /// - Parameters:
    ///   - channel: the engine's end of its socket.
    ///   - output: the read end of its output.
    ///   - zygoteBytes: the memory that its zygote has now, in bytes.
    init(
        _ id: Scheduler.WorkerID, _ name: String, model: Int, of zygote: ZygoteProcess, zygoteBytes: UInt64,
        channel: Channel, output: LineReader, as identity: WorkerUser?, in cgroup: WorkerCgroup?
    ) {
        self.id = id
        self.name = name
        self.model = model
        self.zygote = zygote
        self.zygoteBytes = zygoteBytes
        self.channel = channel
        self.output = output
        self.identity = identity
        self.cgroup = cgroup
        mustGoOn(within: Self.graceSeconds)
        mark("fork")
    }

    /// The store's name for it.
    var storeID: BorrowerID { BorrowerID(rawValue: name) }

    /// How long ago it was sent its inputs.
    var secondsSinceSend: Double { Double(MonotonicClock.nanoseconds() - sentAt) / 1e9 }

    /// Notes that a step was reached.
    func mark(_ step: String) { marks[step + "_at_ms"] = Double(MonotonicClock.nanoseconds()) / 1e6 }

    // MARK: Its beginning

    /// It is there.
    func forked(_ pidfd: DescriptorBox) throws(SystemError) {
        self.pidfd = ProcessDescriptor(try pidfd.descriptor.duplicate())
    }

    /// Puts it into its control group before it is given any work, so that what it allocates is charged to its own group.
    ///
    /// - Parameter then: called from the loop when that is done, or could not be.
    /// - Returns: false where it has no group; `then` isn't called.
    func enterGroup(by background: BackgroundWork, then: @escaping (SystemError?) -> Void) throws(SystemError) -> Bool {
        guard let entry = cgroup?.entry, let pid = try pidfd?.process() else { return false }
        isEntering = true
        // The kernel waits there for all processors, for 10 ms and more.
        background.begin(.cgroup) { () -> SystemError? in
            HoldPoint.cgroup.pass()
            do throws(SystemError) {
                try entry(pid)
                return nil
            } catch {
                return error
            }
        } then: {
            then($0)
        }
        return true
    }

    /// It is in its group, or dead, or nobody waits for that any more.
    func endEntering() { isEntering = false }

    // MARK: Its work

    /// It is for another model than before.
    func serve(_ model: Int) { self.model = model }

    /// Its model may run: limits its memory to the grant.
    func begin(_ grant: Scheduler.Grant) {
        self.grant = grant
        sentAt = MonotonicClock.nanoseconds()
        mark("send")
        descriptorBytesLeft = Self.descriptorBytesMax(memoryBytesMax: grant.memoryBytesMax)
        if let bytes = grant.memoryBytesMax { cgroup?.setMemoryMax(UInt64(bytes)) }
    }

    /// The most bytes of SIPC descriptors that a worker may send: a part of its memory, as it had to write them there.
    static func descriptorBytesMax(memoryBytesMax: Int?) -> Int {
        let part = memoryBytesMax.map { $0 / Limit.descriptorMemoryParts } ?? Limit.descriptorBytesMax
        return min(max(part, Limit.descriptorBytesMin), Limit.descriptorBytesMax)
    }

    // MARK: What it has sent

    /// Its result came.
    ///
    /// - Returns: false for a second one, which is not taken.
    func publish(_ publication: WorkerMessage.Publication) -> Bool {
        guard published == nil else { return false }
        published = publication
        descriptorBytesLeft -= publication.descriptor.bytes
        mark("published")
        return true
    }

    /// Its table is there, and it has but to leave.
    func noteHandOver() { isHandedOver = true }

    /// The text of a preview came.
    func show(_ text: String?) { self.text = text }

    // MARK: Its time

    /// It has so many seconds for its next step; nil: as many as it wants.
    func mustGoOn(within seconds: Double?) { deadline = seconds.map { Deadline.after(seconds: $0) } }

    /// Whether its step has taken too long; true once for each step.
    func isOverdue(_ now: UInt64) -> Bool {
        guard let deadline, now >= deadline else { return false }
        self.deadline = nil
        return true
    }

    /// Whether it is dead, or was never forked, and its zygote does not report it: the zygote hangs.
    func isLost(_ now: UInt64, whenCancelled isCancelled: Bool) -> Bool {
        let nanoseconds: UInt64 = (isCancelled ? 1 : 10) * 1_000_000_000
        guard let pidfd else {
            if isCancelled { deadline = min(deadline ?? .max, now + nanoseconds) }
            return false
        }
        guard let killedAt, now >= killedAt, now - killedAt >= nanoseconds else { return false }
        return (try? Poll.wait([(pidfd.raw, .read)], timeoutMilliseconds: 0))?.first?.contains(.read) ?? false
    }

    // MARK: Its end

    /// Kills it and, if it has a pid namespace or a control group, all processes that it started.
    func killProcesses() {
        cgroup?.kill()
        // ESRCH: it is dead already, and its end is on its way.
        try? pidfd?.send(signal: SIGKILL)
    }

    /// Kills it; its end is then to be reported soon.
    func kill() {
        killProcesses()
        killedAt = MonotonicClock.nanoseconds()
        deadline = nil
    }

    /// It is dead, and all that it started. Nothing comes beyond the messages that its socket holds.
    func exited(_ exit: Exit) { self.exit = exit }

    /// Notes the memory that its output takes, in bytes; when it is dead.
    func noteOutput(bytes: Int) { outputBytes = UInt64(clamping: bytes) }

    /// Whether the kernel killed it, or a process that it started, because a limit was reached.
    var wasKilledForMemory: Bool { (cgroup?.outOfMemoryKills ?? 0) > 0 }

    /// The most memory that was its own, in bytes; known when it is dead: the charge of its control group, if it had one, and recycled
    /// memory that its result used.
    ///
    /// Without a group: its largest resident set less that of its zygote, which it began with. Inputs that it read still count.
    var memoryBytesMax: UInt64 {
        if let bytes = cgroup?.memoryBytesMax, bytes > 0 {
            let own = (published?.counts).map { $0.total &- $0.resharedBytes } ?? 0
            return bytes + min(recycledBytes, own)
        }
        guard let bytes = exit?.memoryBytesMax, bytes > zygoteBytes else { return 0 }
        return bytes - zygoteBytes
    }

    /// It is over. The group of its table's segment lives as long as the table, so that memory charged to it can be moved to swap.
    func leave() {
        deadline = nil
        cgroup = nil
    }
}

extension WorkerProcess {
    /// What a materialization has to write to, and says of it.
    struct WrittenFiles {
        /// The files that it was given.
        fileprivate(set) var files: [StagedFile] = []
        /// The one file that it was given as a sink.
        fileprivate(set) var sink: PendingFile?
        /// How many it has asked for.
        fileprivate(set) var wanted = 0
        /// Its account; nil before it came.
        fileprivate(set) var content: WrittenTable?
    }

    /// It asks for files.
    ///
    /// - Returns: false where it may not: it has had its number of them, or has told what it wrote.
    func want(files count: Int) -> Bool {
        guard published == nil, written.content == nil, written.wanted + count <= Limit.tableFilesMax else {
            return false
        }
        written.wanted += count
        return true
    }

    /// Gives it the one file of a sink.
    func give(sink file: PendingFile) throws {
        written.sink = file
        try channel.send(Datagram.message(Op.ToWorker.newFiles, ["first": 0]), [file.file])
    }

    /// It asks for a file to write its result to.
    ///
    /// - Returns: false where it may not: it has asked before, or has published.
    func wantRoom() -> Bool {
        guard published == nil, !hasWantedRoom else { return false }
        hasWantedRoom = true
        return true
    }

    /// Gives it that file; nil where there is none to be had.
    func give(room file: DescriptorBox?, as segment: SegmentID?) throws {
        let number = segment.map { JSONValue.integer(Int64(clamping: $0.rawValue)) } ?? 0
        try channel.send(Datagram.message(Op.ToWorker.room, ["segment": number]), file.map { [$0] } ?? [])
    }

    /// Its account came.
    ///
    /// - Returns: why it can't be true; nil where it can.
    func wrote(_ content: WrittenTable) -> String? {
        guard published == nil, written.content == nil else { return "a second account" }
        written.content = content
        return content.fault(fileCount: written.files.count)
    }

    /// Gives it files to write to.
    func give(files: [StagedFile]) throws {
        let first = written.files.count
        written.files += files
        for start in stride(from: 0, to: files.count, by: Limit.descriptorsMax) {
            let chunk = files[start..<min(start + Limit.descriptorsMax, files.count)]
            try channel.send(
                Datagram.message(Op.ToWorker.newFiles, ["first": .integer(Int64(first + start))]), chunk.map(\.file))
        }
    }

    /// A scan that asked DeCache.
    struct Scan {
        /// Whether it got its answer.
        fileprivate(set) var isAnswered = false
        /// The pieces that it decoded, each with a SIPC descriptor.
        fileprivate(set) var pieces: [(block: ScanBlock, descriptor: ReceivedFile)] = []
        /// How many messages it has given pieces in.
        fileprivate(set) var messageCount = 0
    }

    /// It asks DeCache, once.
    func beginScan() { scan = Scan() }

    /// DeCache has an answer for it.
    func noteAnswer() { scan?.isAnswered = true }

    /// Takes in pieces that it decoded.
    ///
    /// - Returns: false where it may not give them: it didn't ask, has had no answer, has published, or gives too much.
    func give(_ pieces: [(block: ScanBlock, descriptor: ReceivedFile)]) -> Bool {
        guard let scan, scan.isAnswered, published == nil, scan.messageCount < Limit.decodedMessagesMax,
            scan.pieces.count + pieces.count <= Limit.decodedPiecesMax
        else { return false }
        self.scan!.messageCount += 1
        self.scan!.pieces += pieces
        descriptorBytesLeft -= pieces.reduce(0) { $0 + $1.descriptor.bytes }
        return true
    }
}

/// What a worker is told (`docs/protocol.md`).
extension WorkerProcess {
    /// Gives it its inputs, in their order.
    func give(inputs loans: [Loan]) throws {
        try give(segmentsOf: loans)
        for (index, loan) in loans.enumerated() {
            try channel.send(Datagram.message(Op.ToWorker.table, ["input": .integer(Int64(index))]), [loan.descriptor])
        }
    }

    /// Gives it the segments of tables, each once.
    private func give(segmentsOf loans: [Loan]) throws {
        var segments: [SegmentID: DescriptorBox] = [:]
        for loan in loans {
            for segment in loan.segments { segments[segment.id] = segment.file }
        }
        let ids = segments.keys.sorted()
        for start in stride(from: 0, to: ids.count, by: Limit.descriptorsMax) {
            let chunk = ids[start..<min(start + Limit.descriptorsMax, ids.count)]
            let names = chunk.map { JSONValue.integer(Int64(clamping: $0.rawValue)) }
            try channel.send(
                Datagram.message(Op.ToWorker.segments, ["ids": .array(names)]), chunk.map { segments[$0]! })
        }
    }

    /// Gives a scan the pieces that it asked for, as it names blocks; more messages than one where they are many.
    func give(pieces loans: [Loan], _ blocks: [JSONValue]) throws {
        try give(segmentsOf: loans)
        let size = Limit.descriptorsMax - 1
        for start in stride(from: 0, through: max(0, loans.count - 1), by: size) {
            let chunk = start..<min(start + size, loans.count)
            let names = JSONValue.object(["pieces": .array(Array(blocks[chunk]))])
            let list = DescriptorBox(try FileDescriptor.sealedMemory(named: "pieces", names.utf8))
            try channel.send(
                Datagram.message(Op.ToWorker.pieces, ["last": .bool(chunk.upperBound == loans.count)]),
                [list] + loans[chunk].map(\.descriptor))
        }
    }

    /// Has it run its task.
    ///
    /// - Parameters:
    ///   - bytesMax: how much of the output it may use.
    ///   - decacheBytesMax: the most bytes it may keep for other scans, if it is a scan that asks DeCache.
    ///   - code: the project's code, if it needs that.
    ///   - sources: a socket on which a scan gets its files.
    ///   - device: KernelZero's, where it is used.
    ///   - sql: what its SQL engine may use, if it has one.
    func run(
        _ task: JSONValue, writingTo output: OutputSegment, bytesMax: UInt64, decacheBytesMax: UInt64?,
        code: DescriptorBox?, sources: DescriptorBox?, device: DescriptorBox?, sql: SQLLimits?
    ) throws {
        recycledBytes = UInt64(output.recycledBytes)
        var members: [String: JSONValue] = [
            "arena_file_bytes": .integer(Int64(clamping: output.bytes)),
            "arena_bytes_max": .integer(Int64(clamping: bytesMax)),
        ]
        if code != nil { members["code"] = true }
        if sources != nil { members["files"] = true }
        if let decacheBytesMax {
            members["decache"] = true
            members["decache_bytes_max"] = .integer(Int64(clamping: decacheBytesMax))
        }
        if let sql { members.merge(sql.members) { _, new in new } }
        let task = DescriptorBox(try FileDescriptor.sealedMemory(named: "task", task.utf8))
        try channel.send(
            Datagram.message(Op.ToWorker.run, members),
            [task, output.file] + [code, sources, device].compactMap(\.self))
    }

    /// How many answers may wait for a worker that doesn't read them.
    private static let answersMax = 16

    /// Descriptors that it holds.
    enum Held {
        case taken([DescriptorBox])
        /// They are not there, or can't be taken now. It was told so.
        case failed
    }

    /// Takes descriptors that it holds, and tells it whether that was done; nil for more than it may name, or if it doesn't read its
    /// answers.
    func take(_ numbers: [Int32]) -> Held? {
        guard numbers.count <= Limit.descriptorsMax, channel.waitingCount < Self.answersMax else { return nil }
        var taken: [DescriptorBox]?
        if let pidfd { taken = try? numbers.map { try pidfd.take($0) } }
        try? channel.send(Datagram.message(Op.ToWorker.taken, ["ok": .bool(taken != nil)]))
        return taken.map { .taken($0) } ?? .failed
    }
}
