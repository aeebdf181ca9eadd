import Glibc
import SIPC
import Sandbox
import Scheduler
import Store
import System

/// One execution of a plan: feeds the scheduler with events, and carries out its actions.
///
/// Lives on the engine's thread; nothing here waits but the one `poll`.
final class Run {
    unowned let engine: Engine
    let plan: Plan
    let number: Int
    let id: String
    let options: RunOptions
    weak var observer: (any RunObserver)?
    /// What its workers see of the project.
    private let view: WorkerView
    /// The same as a file, by the zygote that reads it; made for its first worker.
    private var viewFiles: [ZygoteKey: DescriptorBox] = [:]

    /// The control group of all its workers; nil where none can be had.
    let cgroup: RunCgroup?
    var scheduler: Scheduler
    /// The models of the plan, then one preview for each final model.
    let previewOf: [Int]
    var workers: [Scheduler.WorkerID: WorkerProcess] = [:]
    /// The published tables that are still held, by model.
    var tables: [Int: TableID] = [:]
    var reports: [RunReport.Model]
    var failures: [RunReport.Failure] = []
    var previews: [Int: String] = [:]
    var memory = MemoryReport()
    /// How often the user has asked for an end.
    var cancelCount = 0
    /// Events that came up while actions were carried out.
    private var events: [Scheduler.Event] = []
    /// How it ended; nil before that, and as long as tables are being written to files.
    private(set) var outcome: Scheduler.Outcome?
    /// How its models ended.
    private var modelsOutcome: Scheduler.Outcome?
    /// The tables that are being written to files, by model.
    var exports: [Int: ExportWork] = [:]
    let beganAt: UInt64
    var endedAt: UInt64?
    /// The memory that its workers hold for themselves, in bytes, by model; as of the last measurement.
    var memoryBytes: [String: UInt64] = [:]
    /// Models whose table came from a cache and wasn't made again since.
    var isFromCache: Set<Int> = []
    /// A file of the project that was changed after the plan was made: later results are not kept under the plan's keys.
    var changedFile: String?
    /// The project's code for its workers; nil before the first one needs it.
    var codeFile: DescriptorBox?
    /// The scans that have a column of a file in common with another scan of the plan.
    private(set) lazy var overlappingScans = plan.overlappingScans
    /// How many grants its models were given.
    var grantCount = 0
    /// Who had slots that it, or somebody else, waited for.
    var slotWaits: [SlotWait] = []
    private var extractedBytesBefore = 0
    private var compactedBytesBefore: UInt64 = 0
    private var evictionsBefore = EvictionReport()

    /// A run that has not started.
    ///
    /// - Parameters:
    ///   - prepared: what was found out for it.
    ///   - beganAt: when it was asked for.
    init(
        _ plan: Plan, _ options: RunOptions, engine: Engine, number: Int, observer: (any RunObserver)?,
        _ prepared: RunPreparation, beganAt: UInt64
    ) throws {
        self.beganAt = beganAt
        self.plan = plan
        self.options = options
        self.engine = engine
        self.number = number
        id = "r\(getpid())-\(number)"
        let view = prepared.view
        self.view = view
        self.observer = observer
        cgroup = engine.cgroups?.makeRun(id, memoryBytesMax: options.memoryBytesMax)
        let cached = plan.models.map { model in
            options.usesCache ? model.key.flatMap { engine.result($0, prepared.saved) } : nil
        }
        let index = Dictionary(uniqueKeysWithValues: plan.models.enumerated().map { ($1.name, $0) })
        var models = zip(plan.models, cached).map { model, cached in
            Scheduler.Model(
                inputs: model.inputs.map { index[$0]! }, environment: ZygoteKey(model, of: plan, seeing: view).name,
                isFinal: model.final, isCached: cached != nil,
                mayBeFound: model.sharedKey(options, engine.options) != nil,
                canRollBack: model.cache != false && !model.network && model.repeatable != false)
        }
        previewOf = options.previewRows > 0 ? plan.models.indices.filter { plan.models[$0].final } : []
        for model in previewOf {
            models.append(
                Scheduler.Model(
                    inputs: [model], environment: ZygoteKey(plan.models[model], of: plan, seeing: view).name,
                    role: .preview)
            )
        }
        scheduler = Scheduler(
            graph: try Scheduler.Graph(models), workersAhead: min(engine.options.slots, 1 << 20) + 1,
            failurePolicy: options.keepsGoing ? .keepGoing : .stop)
        reports = plan.models.map {
            RunReport.Model(
                name: $0.name, status: "cancelled", startMilliseconds: nil, wallMilliseconds: nil, memoryBytesMax: nil,
                executions: 0, timing: [:], decache: nil, output: nil, isKept: $0.key != nil && options.usesCache,
                because: options.usesCache ? $0.because : Self.saysNoCache)
        }
        take(cached)
    }

    /// What a zygote's worker sees, as a file: there may be thousands of folders.
    func viewFile(for key: ZygoteKey, _ zygote: Zygote) throws -> DescriptorBox {
        if let file = viewFiles[key] { return file }
        let content = view.json(tmp: zygote.shownBelowTmp)
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "view", content.utf8))
        viewFiles[key] = file
        return file
    }

    /// Holds the results that caches have for its models.
    private func take(_ cached: [ResultsCache.Entry?]) {
        for (model, entry) in cached.enumerated() {
            if let entry { take(entry.table, entry.output, for: model) }
        }
    }

    /// The reason that a run with `--no-cache` reports for not keeping results.
    static let saysNoCache = "the run says --no-cache"

    /// Holds an existing table as a model's, and reports its bytes as reshared: the run only names them.
    func take(_ table: TableID, _ output: RunReport.Output, for model: Int) {
        tables[model] = table
        engine.tables.retain(table, by: .run(number, model: model))
        isFromCache.insert(model)
        var counts = ByteCounts()
        counts.resharedBytes = output.bytes
        reports[model].output = RunReport.Output(rows: output.rows, counts: counts)
        noteKeeping(of: model, unless: nil)
    }

    /// Begins the run; the engine's loop does the rest, until there is an outcome.
    func start() {
        extractedBytesBefore = engine.store.extractedBytes
        compactedBytesBefore = engine.mover.compactedBytes
        evictionsBefore = engine.mover.evictions
        observer?.runBegan(plan)
        noteLimits()
        feed(.start)
    }

    /// Warns when there is a memory limit that the kernel doesn't enforce.
    private func noteLimits() {
        let isLimited =
            options.memoryBytesMax != nil || engine.options.memoryBytesMax != nil
            || plan.models.contains { $0.memoryBytesMax != nil }
        if isLimited, let problem = engine.memoryLimitProblem { observer?.note("warning: \(problem)") }
    }

    /// The report of a run with an outcome, memory figures included.
    func finish() -> RunReport {
        if let usage = try? engine.store.usage() { memory.note(usage) }
        memory.extractedBytes = UInt64(clamping: engine.store.extractedBytes - extractedBytesBefore)
        memory.compactedBytes = engine.mover.compactedBytes - compactedBytesBefore
        memory.runBytesMax = cgroup?.memory.bytesPeak
        memory.limitBytes = options.memoryBytesMax
        memory.evictions = engine.mover.evictions - evictionsBefore
        return report()
    }

    /// The report of a run that is over.
    func report() -> RunReport {
        guard let outcome else { preconditionFailure("the run is not over") }
        var report = RunReport(run: id, failures: failures)
        switch outcome.status {
        case .success: report.status = failures.isEmpty ? "success" : "failed"
        case .failed: report.status = "failed"
        case .cancelled:
            report.status = "failed"
            if failures.isEmpty { report.error = RunReport.Failure(model: nil, message: "the run was cancelled") }
        }
        report.errors = failures
        report.models = reports
        report.memory = memory
        report.slotWaits = slotWaits
        report.wallMilliseconds = elapsed(endedAt ?? MonotonicClock.nanoseconds())
        report.previews = previewOf.compactMap { model in
            previews[model].map { RunReport.Preview(model: plan.models[model].name, text: $0) }
        }
        return report
    }

    /// Cancels the run for its user. A user who asks twice does not want to wait for anything.
    func cancel() {
        guard outcome == nil else { return }
        cancelCount += 1
        feed(.cancel)
        stopExports(waits: cancelCount == 1)
        if cancelCount > 1 {
            // A zygote that serves others as well is not killed for this.
            engine.zygotes.endZygotes(ofOnly: number)
        }
    }

    // MARK: Events in, actions out

    /// Hands an event to the scheduler and carries out its actions; events that come up meanwhile follow in order.
    func feed(_ event: Scheduler.Event) {
        events.append(event)
        engine.resources.drain()
    }

    /// Whether there are events that wait to be handled.
    var hasEvents: Bool { !events.isEmpty }

    /// Handles the event that has waited longest.
    func handleNextEvent() {
        for action in scheduler.handle(events.removeFirst()) { perform(action) }
    }

    private func perform(_ action: Scheduler.Action) {
        switch action {
        case .startZygote(let name): startZygote(name)
        case .ask(let model, let rank, let isRetry): ask(model, rank, isRetry: isRetry)
        case .withdraw(let model): withdraw(model)
        case .giveBack(let model): giveBack(model)
        case .fork(let model, let worker): fork(model, worker)
        case .send(let model, let worker, let grant): send(model, worker, grant)
        case .kill(let worker): kill(worker)
        case .seal(let model, let worker): seal(model, worker)
        case .discard(let worker): discard(worker)
        case .release(let model): release(model)
        case .settle(let model, let status): settle(model, status)
        case .finish(let outcome):
            modelsOutcome = outcome
            if endedAt == nil { endedAt = MonotonicClock.nanoseconds() }
            endIfOver()
        }
    }

    /// Ends the run when its models are over and their tables are where they are to be.
    func endIfOver() {
        if exports.isEmpty, outcome == nil { outcome = modelsOutcome }
    }

    /// A preview's place in the scheduler's list comes after the plan's models.
    func isPreview(_ model: Int) -> Bool { model >= plan.models.count }

    /// The name for messages.
    func name(of model: Int) -> String {
        isPreview(model)
            ? "preview of \(plan.models[previewOf[model - plan.models.count]].name)" : plan.models[model].name
    }

    func key(of model: Int) -> ZygoteKey { ZygoteKey(planModel(model), of: plan, seeing: view) }

    /// The plan's model; for a preview, the one that it shows.
    func planModel(_ model: Int) -> Plan.Model {
        plan.models[isPreview(model) ? previewOf[model - plan.models.count] : model]
    }

    /// How many of its models could run now and wait to be granted.
    var askingCount: Int { scheduler.graph.models.indices.count { scheduler.isAsking($0) } }

    func inputs(of model: Int) -> [Int] { scheduler.graph.models[model].inputs }

    /// Milliseconds since the run began.
    func elapsed(_ nanoseconds: UInt64 = MonotonicClock.nanoseconds()) -> Double {
        nanoseconds > beganAt ? Double(nanoseconds - beganAt) / 1e6 : 0
    }
}
