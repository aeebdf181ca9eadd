import Scheduler
import Store

/// How a run's models ask for what they need, and give it back.
extension Run {
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
        let expectedBytes =
            isPreview(model) ? MemoryForecast.workerBytes : engine.forecast.expectedBytes(of: subject(model))
        engine.tell(
            .asked(
                .init(
                    run: number, model: model, rank: ask.rank, expectedBytes: expectedBytes,
                    memoryBytesMax: limit.map { min(MemoryForecast.bytesMax, Int(clamping: $0)) },
                    inputs: Set(inputs(of: model)).sorted().map { engine.tables.key(of: tables[$0]!) },
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

    /// What a model's need depends on: its code, and what it reads.
    func subject(_ model: Int) -> MemoryForecast.Subject {
        let inputs = Set(inputs(of: model).compactMap { tables[$0] })
        let bytes = inputs.reduce(0) { $0 + engine.store.namedBytes(of: $1) }
        return MemoryForecast.Subject(
            code: isPreview(model) ? nil : plan.models[model].code, inputBytes: UInt64(clamping: bytes),
            decodedBytes: planModel(model).expectedBytes)
    }

    /// How long a model ran when it last ran, in seconds.
    func seconds(toRun model: Int) -> Double { (reports[model].wallMilliseconds ?? 1000) / 1000 }

    /// How many models will probably be granted before one that reads the model's table is; nil if none will read it.
    func grantsUntilRead(of model: Int) -> Int? {
        scheduler.nextReaderRank(of: model).map { max(0, $0 - grantCount) }
    }

    /// The table has been dropped for want of memory; the registry has seen to its memory.
    func drop(_ model: Int) {
        tables[model] = nil
        feed(.dropped(model: model))
    }
}
