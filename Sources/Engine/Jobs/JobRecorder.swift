import FoundationEssentials
import Glibc
import System

/// Remembers a job while it runs, and passes on what its observer is to be told.
///
/// Used on the engine's thread, which never waits for the disk: files are written by a thread of the recorder's own. What can't be
/// remembered is not, and nothing else is the worse for it.
public final class JobRecorder: RunObserver {
    /// The most that is kept of what a job's models print, in bytes of the log.
    public static let printedBytesMax = 1 << 20
    /// The most that is kept of what zerrow says in a job, in bytes of the log.
    static let notedBytesMax = 256 << 10
    /// How long the end of a job waits for its files, in milliseconds: a disk may hang.
    private static let endMilliseconds = 2000

    /// The shortest time between two writes of the job while it runs, in nanoseconds: its whole state is written, and models may end in
    /// milliseconds.
    private static let pauseNanoseconds: UInt64 = 100_000_000

    /// The job as it is now.
    public private(set) var job: Job
    private let folder: String?
    private let observer: any RunObserver
    private var writer: JobWriter?
    private var places: [String: Int] = [:]
    private var printedBytes = 0
    private var notedBytes = 0
    private var droppedLines = 0
    private var isChanged = false
    /// When it was last written, in nanoseconds of the monotonic clock.
    private var writtenAt: UInt64 = 0
    /// Whether a signal has stopped it.
    private var isStopped = false
    private let encoder = JSONEncoder()

    /// A job that is not remembered yet.
    ///
    /// - Parameter folder: where it is to be; nil: nowhere.
    public init(_ job: Job, in folder: String?, forwarding observer: any RunObserver) {
        self.job = job
        self.folder = folder
        self.observer = observer
        encoder.outputFormatting = [.withoutEscapingSlashes]
    }

    /// Begins to remember it. What the disk says of that is not waited for.
    public func begin() {
        guard writer == nil, let folder else { return }
        writer = JobWriter(folder, job)
    }

    /// Begins to remember it in this process, which was forked from the one that read the project.
    ///
    /// - Returns: why it can't be remembered; nil when it is.
    public func beginForked() -> String? {
        job.moveHere()
        guard folder != nil else { return "no folder for jobs is known: name one with ZERROW_JOBS" }
        begin()
        return writer?.firstFailure(milliseconds: 10 * Self.endMilliseconds)
    }

    /// The project was read.
    public func planned(_ plan: Plan) {
        job.project = plan.project.name
        job.parameters = plan.parameters ?? [:]
        job.models = plan.models.map { Job.Model($0) }
        places = Dictionary(job.models.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        isChanged = true
    }

    /// It is over: waits a moment until that is written.
    ///
    /// - Parameter wasInterrupted: whether a signal ended it before there was a report.
    /// - Returns: what the user should know of it; nil when all is written.
    @discardableResult
    public func end(_ report: RunReport, wasInterrupted: Bool = false) -> String? {
        let hasStopped = wasInterrupted || isStopped && report.status != "success"
        job.status = report.status == "success" ? .complete : hasStopped ? .abort : .fail
        job.endedAt = WallClock.nanoseconds()
        job.error = report.error?.message ?? report.errors.first?.message
        for model in report.models { end(model) }
        if droppedLines > 0 {
            let kept = Self.printedBytesMax >> 20
            append(
                .init(
                    model: nil, stream: .system,
                    text: "\(droppedLines) more printed lines are not kept: of a job \(kept) MiB are"))
        }
        for failure in report.errors { append(.init(model: failure.model, stream: .system, text: failure.message)) }
        guard let writer else { return nil }
        writer.add(lines: [], job, isLast: true)
        return writer.end(milliseconds: Self.endMilliseconds)
    }

    private func end(_ model: RunReport.Model) {
        guard let place = places[model.name] else { return }
        job.models[place].status = model.status
    }

    // MARK: What it observes

    /// The run begins.
    public func runBegan(_ plan: Plan) {
        job.status = .running
        isChanged = true
        write()
        observer.runBegan(plan)
    }

    /// A model's worker was asked for.
    public func modelStarted(_ model: String) {
        if let place = places[model] {
            job.models[place].status = "running"
            job.models[place].startedAt = job.models[place].startedAt ?? WallClock.nanoseconds()
            job.models[place].endedAt = nil
            isChanged = true
        }
        observer.modelStarted(model)
    }

    /// A model has its final status.
    public func modelEnded(_ model: RunReport.Model, failure: String?) {
        if let place = places[model.name] {
            job.models[place].status = model.status
            if job.models[place].startedAt != nil { job.models[place].endedAt = WallClock.nanoseconds() }
            isChanged = true
        }
        observer.modelEnded(model, failure: failure)
    }

    /// Lines that a model printed.
    public func printed(_ model: String, lines: [String]) {
        keep(lines, of: model)
        observer.printed(model, lines: lines)
    }

    /// A message for the user.
    public func note(_ text: String) {
        append(.init(model: nil, stream: .system, text: text))
        observer.note(text)
    }

    /// A signal stops it.
    public func noteStop(by signal: Int32) {
        isStopped = true
        observer.noteStop(by: signal)
        append(.init(model: nil, stream: .system, text: "stopped by \(signal == SIGINT ? "its user" : "a signal")"))
    }

    /// A final table; it is not kept.
    public func handedOver(_ table: HandedTable) { observer.handedOver(table) }

    /// What is held; it is not kept.
    public func memory(_ status: MemoryStatus) { observer.memory(status) }

    /// Time passes.
    public func tick() {
        write()
        observer.tick()
    }

    // MARK: What is kept

    private func keep(_ lines: [String], of model: String) {
        guard writer != nil else { return }
        for line in lines {
            guard droppedLines == 0, let bytes = encoded(.init(model: model, stream: .stdout, text: line)),
                printedBytes + bytes.count <= Self.printedBytesMax
            else {
                if droppedLines == 0 {
                    append(.init(model: nil, stream: .system, text: "what models print from here on is not kept"))
                }
                droppedLines += 1
                continue
            }
            printedBytes += bytes.count
            writer?.add(lines: bytes)
        }
    }

    private func append(_ line: JobLine) {
        guard writer != nil, let bytes = encoded(line), notedBytes + bytes.count <= Self.notedBytesMax else { return }
        notedBytes += bytes.count
        writer?.add(lines: bytes)
    }

    private func encoded(_ line: JobLine) -> [UInt8]? {
        (try? encoder.encode(line)).map { [UInt8]($0) + [UInt8(ascii: "\n")] }
    }

    /// Has what changed written, if the last change is and was so a while ago; `tick` comes ten times a second.
    private func write() {
        let now = MonotonicClock.nanoseconds()
        guard isChanged, let writer, now - writtenAt >= Self.pauseNanoseconds, writer.isIdle else { return }
        isChanged = false
        writtenAt = now
        writer.add(lines: [], job)
    }
}
