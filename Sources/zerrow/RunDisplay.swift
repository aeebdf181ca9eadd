import Engine
import Glibc
import System
import Terminal

/// Shows a run on stderr while it lasts.
final class RunDisplay: RunObserver {
    private var display: ProgressDisplay
    private let isQuiet: Bool
    /// Whether nothing at all is shown, because a script shows it.
    private let isSilent: Bool
    private let beganAt = MonotonicClock.nanoseconds()
    private var modelCount = 0
    /// The models that have ended; one that is run again, because its table was dropped, has not.
    private var ended: Set<String> = []
    private var failedCount = 0
    private var held: MemoryStatus?
    /// Running models in the order they began, each with its moment.
    private var running: [(name: String, beganAt: UInt64)] = []

    /// A query shows no progress where lines can't be redrawn: its rows are what its user waits for.
    ///
    /// - Parameter isSilent: whether a script is told of the run, which shows what it wants.
    init(isQuery: Bool, isSilent: Bool = false) {
        let isTerminal = isatty(2) == 1
        let environment = Environment.variables
        let isLive = Style.isLive(isTerminal: isTerminal, environment: environment)
        display = ProgressDisplay(isLive: isLive, style: Style(isTerminal: isTerminal, environment: environment))
        isQuiet = isSilent || isQuery && !isLive
        self.isSilent = isSilent
    }

    func runBegan(_ plan: Plan) {
        modelCount = plan.models.count
        display.prepare(names: plan.models.map(\.name))
    }

    func modelStarted(_ model: String) {
        running.append((model, MonotonicClock.nanoseconds()))
        ended.remove(model)
        show(display.started(model))
        tick()
    }

    func modelEnded(_ model: RunReport.Model, failure: String?) {
        running.removeAll { $0.name == model.name }
        ended.insert(model.name)
        if model.status == "failed" { failedCount += 1 }
        show(display.ended(ModelResult(model, reason: failure)))
    }

    func printed(_ model: String, lines: [String]) {
        if !isSilent { Output.write(lines.map { display.printed(model, $0) }.joined(), to: 2) }
    }

    func note(_ text: String) {
        if !isSilent { Output.write(display.log(text), to: 2) }
    }

    func memory(_ status: MemoryStatus) { held = status }

    func tick() {
        let now = MonotonicClock.nanoseconds()
        var snapshot = RunSnapshot(
            modelCount: modelCount, endedCount: ended.count, failedCount: failedCount,
            running: running.map {
                .init(
                    name: $0.name, elapsed: .nanoseconds(Int64(now - $0.beganAt)),
                    memoryBytes: held?.workers[$0.name])
            },
            elapsed: .nanoseconds(Int64(now - beganAt)),
            activity: held.map { $0.waitingModels > 0 } ?? false
                ? "waiting for memory" : ended.isEmpty ? "warming up" : "finishing")
        snapshot.memoryBytes = held?.bytes
        show(display.update(snapshot, columns: Output.columns(2), rows: Output.rows(2)))
    }

    /// Takes the live lines away.
    func finish() { Output.write(display.finish(), to: 2) }

    private func show(_ text: String) {
        if !isQuiet { Output.write(text, to: 2) }
    }
}

extension ModelResult {
    /// A model of the report.
    init(_ model: RunReport.Model, reason: String? = nil) {
        let status: Status =
            switch model.status {
            case "success": .success
            case "cached": .cached
            case "unneeded": .unneeded
            case "failed": .failed
            case "skipped": .skipped
            default: .cancelled
            }
        self.init(
            name: model.name, status: status,
            time: model.wallMilliseconds.map { .nanoseconds(Int64($0 * 1e6)) }, rows: model.output?.rows,
            travel: (model.output?.counts).map {
                Travel(
                    resharedBytes: $0.resharedBytes, bornSharedBytes: $0.bornSharedBytes,
                    deanonymizedBytes: $0.deanonymizedBytes, packedBytes: $0.packedBytes, copiedBytes: $0.copiedBytes)
            },
            memoryBytesMax: model.memoryBytesMax, spilledBytes: model.spilledBytes, reason: reason,
            isDoubtful: !model.warnings.isEmpty,
            streamedBytes: status == .success
                ? model.streamed.reduce(0) { $0.addingReportingOverflow($1.bytes).partialValue } : 0)
    }
}
