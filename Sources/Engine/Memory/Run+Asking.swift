import Scheduler
import Store
import System

/// What a run's models are expected to need, and how they ask for it.
extension Run {
    /// What a worker takes beside what it reads and makes, in bytes, as long as nothing better is known.
    private static let workerBytes = 64 << 20
    /// What every worker takes, in bytes.
    private static let workerBytesMin = 16 << 20

    /// A model could run now: asks the resource manager, unless another run makes what it would.
    func ask(_ model: Int, _ rank: Int, isRetry: Bool) {
        let ask = SharedScans.Ask(run: number, model: model, rank: rank, isRetry: isRetry)
        if let key = sharedKey(of: model), !engine.scans.ask(ask, key: key) { return }
        askForGrant(ask)
    }

    /// Asks the resource manager.
    func askForGrant(_ ask: SharedScans.Ask) {
        let model = ask.model
        engine.tellHoldings()
        let limit = isPreview(model) ? nil : plan.models[model].memoryBytesMax
        engine.tell(
            .asked(
                .init(
                    run: number, model: model, rank: ask.rank, expectedBytes: expectedBytes(of: model),
                    memoryBytesMax: limit.map { Int(clamping: $0) },
                    inputs: Set(inputs(of: model)).sorted().map { engine.holdings[tables[$0]!]!.key },
                    isRetry: ask.isRetry)
            ))
    }

    /// A model doesn't want to start any more.
    func withdraw(_ model: Int) {
        if let key = sharedKey(of: model) { engine.scans.withdraw(.init(number, model), key: key) }
        engine.tell(.withdrawn(number, model: model))
    }

    /// A model that was granted is over.
    func giveBack(_ model: Int) {
        engine.tellHoldings()
        engine.tell(.givenBack(number, model: model))
        if let key = sharedKey(of: model) { engine.scans.end(.init(number, model), key: key) }
    }

    /// How much memory the model will probably take for itself, its result included, in bytes.
    ///
    /// What it took last time, and a tenth more. If it never ran: as much as it reads, as most results are smaller than that; a
    /// scan what its columns take once decoded, and what it needs for that.
    private func expectedBytes(of model: Int) -> Int {
        if isPreview(model) { return Self.workerBytes }
        if let need = need(of: model) {
            return max(Self.workerBytesMin, Int(clamping: min(max(0, need.memoryBytes), .max / 2) / 10 * 11))
        }
        let bytes = Int(clamping: inputBytes(of: model))
        // What a source takes is what its files claim.
        let claimed = plan.models[model].expectedBytes == nil ? bytes : min(bytes, .max / 8) / 4 * 5
        let (expected, overflow) = claimed.addingReportingOverflow(Self.workerBytes)
        return overflow ? .max : expected
    }

    /// What the model needed when it last ran with as much to read; nil if it never did.
    private func need(of model: Int) -> History.Need? {
        guard !isPreview(model), let code = plan.models[model].code else { return nil }
        return engine.history?.need(code: code, inputBytes: inputBytes(of: model))
    }

    /// The bytes of what a model reads, each once: of its inputs' tables, or of a scan's columns.
    private func inputBytes(of model: Int) -> Int64 {
        let inputs = Set(inputs(of: model).compactMap { tables[$0] })
        let bytes = inputs.reduce(0) { $0 + engine.store.namedBytes(of: $1) }
        let (sum, overflow) = (planModel(model).expectedBytes ?? 0).addingReportingOverflow(UInt64(clamping: bytes))
        return overflow ? .max : Int64(clamping: sum)
    }

    /// Keeps what a model took, for the next time.
    func noteNeed(of model: Int, _ worker: Worker) {
        guard !isPreview(model), let code = plan.models[model].code, worker.memoryBytes > 0 else { return }
        // One that was killed needs more than it had.
        let bytes = worker.wasKilledForMemory ? worker.memoryBytes / 2 * 3 : worker.memoryBytes
        engine.history?.note(
            code: code,
            History.Need(
                inputBytes: inputBytes(of: model), memoryBytes: Int64(clamping: bytes),
                outputBytes: Int64(clamping: worker.outputBytes),
                seconds: Double(MonotonicClock.nanoseconds() - worker.sentAt) / 1e9))
    }

    /// How long a model ran when it last ran, in seconds.
    func seconds(toRun model: Int) -> Double { (reports[model].wallMilliseconds ?? 1000) / 1000 }

    /// How many models will probably be granted before one that reads the model's table is; nil if none will read it.
    func grantsUntilRead(of model: Int) -> Int? {
        scheduler.nextReaderRank(of: model).map { max(0, $0 - grantCount) }
    }

    /// The table has been dropped for want of memory; the engine has seen to its memory.
    func drop(_ model: Int) {
        tables[model] = nil
        feed(.dropped(model: model))
    }
}
