import Scheduler
import Store

/// How a run's models ask for slots and memory, and give them back.
extension Run {
    /// Asks the resource manager for a model that could run now, unless another run makes the same table.
    func ask(_ model: Int, _ rank: Int, isRetry: Bool) {
        let ask = SharedScans.Ask(run: number, model: model, rank: rank, isRetry: isRetry)
        if let key = sharedKey(of: model), !engine.scans.ask(ask, key: key) { return }
        askForGrant(ask)
    }

    /// Asks the resource manager for a grant.
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

    /// Withdraws the ask of a model.
    func withdraw(_ model: Int) {
        if let key = sharedKey(of: model) { engine.scans.withdraw(.init(number, model), key: key) }
        engine.tell(.withdrawn(number, model: model))
    }

    /// Gives back the grant of a model that is over.
    func giveBack(_ model: Int) {
        engine.tellHoldings()
        engine.tell(.givenBack(number, model: model))
        if let key = sharedKey(of: model) { engine.scans.end(.init(number, model), key: key) }
    }

    /// The facts that a model's need depends on: its code, and the bytes it reads.
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

    /// Notes that the model's table was dropped to free memory; the mover has the registry release it.
    func drop(_ model: Int) {
        tables[model] = nil
        feed(.dropped(model: model))
    }
}
