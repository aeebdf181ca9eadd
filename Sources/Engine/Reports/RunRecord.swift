import Scheduler
import Store
import System

/// What a run will report: how each of its models fared, what failed, and how much memory it all took.
///
/// Owns the figures; the run says what happened. Used on the engine's thread.
final class RunRecord {
    private let plan: Plan
    /// When the run was asked for, in nanoseconds of the monotonic clock.
    private let beganAt: UInt64
    private var endedAt: UInt64?
    /// The models of the plan, in its order.
    private(set) var models: [RunReport.Model]
    private(set) var failures: [RunReport.Failure] = []
    private var previews: [Int: String] = [:]
    private var memory = MemoryReport()
    private var slotWaits: [SlotWait] = []
    /// Models whose table came from a cache and wasn't made again since.
    private var isFound: Set<Int> = []
    /// The figures of the engine when the run began: they go on over all runs.
    private var extractedBytesBefore = 0
    private var compactedBytesBefore: UInt64 = 0
    private var evictionsBefore = EvictionReport()

    /// How many waits for slots a report has at most.
    static let slotWaitsMax = 100
    /// The reason that a run with `--no-cache` reports for not keeping results.
    static let saysNoCache = "the run says --no-cache"

    /// A record of a run that has not started.
    init(_ plan: Plan, usesCache: Bool, beganAt: UInt64) {
        self.plan = plan
        self.beganAt = beganAt
        models = plan.models.map {
            RunReport.Model(
                name: $0.name, status: "cancelled", startMilliseconds: nil, wallMilliseconds: nil, memoryBytesMax: nil,
                executions: 0, timing: [:], decache: nil, output: nil, isKept: $0.key != nil && usesCache,
                because: usesCache ? $0.because : Self.saysNoCache, streamed: $0.streamed ?? [])
        }
    }

    /// Milliseconds since the run began.
    private func elapsed(_ nanoseconds: UInt64 = MonotonicClock.nanoseconds()) -> Double {
        nanoseconds > beganAt ? Double(nanoseconds - beganAt) / 1e6 : 0
    }

    /// How long a model ran when it last ran, in seconds.
    func seconds(toRun model: Int) -> Double { (models[model].wallMilliseconds ?? 1000) / 1000 }

    // MARK: Models

    /// A model's worker begins its task.
    func begin(_ model: Int) {
        models[model].startMilliseconds = elapsed()
        models[model].executions += 1
    }

    /// A worker of the model is dead; it held so much memory, in bytes.
    func noteMemory(of model: Int, bytes: UInt64) {
        models[model].memoryBytesMax = max(models[model].memoryBytesMax ?? 0, bytes)
    }

    /// A worker's table is there.
    ///
    /// - Parameter reason: why the result is of this run alone; nil where it may be kept.
    func made(
        _ model: Int, rows: UInt64, by worker: WorkerProcess, _ published: WorkerMessage.Publication,
        keptUnless reason: String?
    ) {
        worker.mark("ready")
        noteKeeping(of: model, unless: reason)
        let now = elapsed()
        isFound.remove(model)
        models[model].wallMilliseconds = now - (models[model].startMilliseconds ?? now)
        models[model].timing = timing(of: worker, published.timing)
        models[model].decache = published.decache
        models[model].spilledBytes = published.spilledBytes
        models[model].warnings = published.warnings
        models[model].output = RunReport.Output(
            rows: Int64(clamping: rows), counts: published.counts, moves: published.moves)
    }

    /// The worker of a model is dead whose table was taken in before.
    func noteEnd(of model: Int, _ worker: WorkerProcess) {
        models[model].timing.merge(timing(of: worker, [:])) { before, _ in before }
    }

    /// Durations as they are, moments as milliseconds since the run began.
    private func timing(of worker: WorkerProcess, _ own: [String: Double]) -> [String: Double] {
        var timing = own.merging(worker.marks) { _, ours in ours }
        timing["cpu_ms"] = worker.exit?.cpuMilliseconds
        for (key, value) in timing where key.hasSuffix("_at_ms") { timing[key] = value - Double(beganAt) / 1e6 }
        return timing
    }

    /// An existing table is used as the model's. Its bytes count as reshared: the run only names them.
    ///
    /// - Parameter units: how many units of DeCache it stands for, if it is a whole scan.
    func found(_ model: Int, _ output: RunReport.Output, units: Int64? = nil) {
        isFound.insert(model)
        var counts = ByteCounts()
        counts.resharedBytes = output.bytes
        models[model].output = RunReport.Output(rows: output.rows, counts: counts)
        if let units {
            models[model].decache = DeCacheReport(
                wantedUnits: units, reusedUnits: units, decodedUnits: 0, piecesBytes: 0)
        }
        noteKeeping(of: model, unless: nil)
    }

    /// Whether a model's result may be kept, and if not, why.
    private func noteKeeping(of model: Int, unless reason: String?) {
        models[model].isKept = reason == nil
        models[model].because = reason
    }

    /// A model has its final status.
    ///
    /// - Parameter failure: why it has no result, if it has failed or was skipped.
    func settle(_ model: Int, _ status: Scheduler.ModelStatus, failure: String?) {
        models[model].status =
            switch status {
            case .success: isFound.contains(model) ? "cached" : "success"
            case .unneeded: "unneeded"
            case .cancelled: "cancelled"
            case .skipped: "skipped"
            case .failed: "failed"
            }
        if failure != nil || status == .cancelled {
            models[model].isKept = false
            models[model].because = nil
        }
        if models[model].wallMilliseconds == nil, let start = models[model].startMilliseconds {
            models[model].wallMilliseconds = elapsed() - start
        }
        endedAt = MonotonicClock.nanoseconds()
    }

    /// The text of a final model's preview.
    func show(_ text: String, of model: Int) { previews[model] = text }

    // MARK: The run

    /// Something failed, in that model.
    func fail(_ model: String, _ message: String) {
        failures.append(RunReport.Failure(model: model, message: message))
    }

    /// Who has slots that somebody waits for; of many, the last are in the report.
    func add(_ waits: [SlotWait]) { slotWaits = Array((slotWaits + waits).suffix(Self.slotWaitsMax)) }

    /// The run starts.
    func begin(_ store: SegmentStore, _ mover: TableMover) {
        extractedBytesBefore = store.extractedBytes
        compactedBytesBefore = mover.compactedBytes
        evictionsBefore = mover.evictions
    }

    /// Its models are over.
    func end() {
        if endedAt == nil { endedAt = MonotonicClock.nanoseconds() }
    }

    /// Takes the figures of memory at the end.
    func noteMemory(_ store: SegmentStore, _ mover: TableMover, runBytesMax: UInt64?, limitBytes: UInt64?) {
        if let usage = try? store.usage() { memory.note(usage) }
        memory.extractedBytes = UInt64(clamping: store.extractedBytes - extractedBytesBefore)
        memory.compactedBytes = mover.compactedBytes - compactedBytesBefore
        memory.runBytesMax = runBytesMax
        memory.limitBytes = limitBytes
        memory.evictions = mover.evictions - evictionsBefore
    }

    /// The report of a run that is over.
    func report(
        _ id: String, _ status: Scheduler.Outcome.Status, _ published: [RunReport.PublishedTable] = []
    ) -> RunReport {
        var report = RunReport(run: id, failures: failures)
        report.published = published
        report.status = status == .success && failures.isEmpty ? "success" : "failed"
        if status == .cancelled, failures.isEmpty {
            report.error = RunReport.Failure(model: nil, message: "the run was cancelled")
        }
        report.errors = failures
        report.models = models
        report.memory = memory
        report.slotWaits = slotWaits
        report.wallMilliseconds = elapsed(endedAt ?? MonotonicClock.nanoseconds())
        report.previews = previews.sorted { $0.key < $1.key }.map { model, text in
            RunReport.Preview(model: plan.models[model].name, text: text)
        }
        return report
    }
}

extension Run {
    /// Reports a model's final status.
    func settle(_ model: Int, _ status: Scheduler.ModelStatus) {
        guard !isPreview(model) else {
            if case .failed(let failure) = status { observer?.note("\(name(of: model)) failed: \(failure)") }
            return
        }
        noteChange(around: model)
        var failure: String?
        switch status {
        case .success, .unneeded, .cancelled: break
        case .skipped(let cause): failure = "not run, because '\(name(of: cause))' failed"
        case .failed(let reason):
            let text = message(for: reason, of: model)
            failure = text
            record.fail(plan.models[model].name, text)
        }
        record.settle(model, status, failure: failure)
        observer?.modelEnded(record.models[model], failure: failure)
        if plan.models[model].kind == "scan" { endDeCache() }
    }
}
