import Scheduler
import Store
import System

/// The user of the resource manager, which decides about the user's models and tables.
protocol ResourceUser: AnyObject {
    /// Answers a model that waited for another run's scan.
    ///
    /// - Returns: false when none waits any more.
    func answerWaitingScan() -> Bool
    /// Tells what has changed of tables and of the pool since it was last asked.
    func tellHoldings()
    /// Carries out an action of the resource manager.
    func perform(_ action: ResourceManager.Action)
}

/// The way between the engine and the pure resource manager, which says who may run and which tables go when memory is short.
///
/// Facts are collected, and decided on together when what they come from is over: one occurrence (say, a worker's death) yields several
/// facts, such as "grant returned" and "table exists"; deciding between two of them would count the same memory twice, or not at all. So
/// the loop calls `decide` after each handler, and an action finds each run as it is after all events so far.
///
/// Owns the manager and the facts that it doesn't have yet. Used on the engine's thread.
final class ResourceBridge {
    /// The object that carries out actions; set once, before the first decision.
    weak var user: (any ResourceUser)?

    private var resources: ResourceManager
    /// The facts that the manager does not have yet, in the order in which they were told: what has happened, and what runs want.
    private var facts: [ResourceManager.Event] = []
    private var wants: [ResourceManager.Event] = []
    private var isDeciding = false
    /// The size of the pool that was last reported to the manager, in bytes.
    private var reportedPoolBytes = 0

    init(_ limits: ResourceManager.Limits) { resources = ResourceManager(limits: limits) }

    /// The runs that want a slot and have none.
    var runsWithoutSlot: [ResourceManager.RunID] { resources.runsWithoutSlot }

    /// The models that have slots.
    var grantedModels: [ResourceManager.ModelKey] { resources.grantedModels }

    /// Takes in a fact for the next decision.
    func tell(_ fact: ResourceManager.Event) {
        switch fact {
        case .asked, .withdrawn, .givenBack, .runEnded: wants.append(fact)
        default: facts.append(fact)
        }
    }

    /// The facts that are new. How tables are now comes after what has become of them, and before the asks that name them, and the grants
    /// that are given back: a worker's memory is its table's by then.
    private func takeFacts() -> [ResourceManager.Event] {
        user?.tellHoldings()
        defer { (facts, wants) = ([], []) }
        return facts + wants
    }

    /// Reports how much memory is kept for later outputs, in bytes, if that has changed.
    func tellPool(_ bytes: Int) {
        if bytes != reportedPoolBytes { answerPool(bytes) }
    }

    /// Answers `shrinkPool`, also if nothing was freed.
    func answerPool(_ bytes: Int) {
        reportedPoolBytes = bytes
        tell(.pool(bytes: bytes))
    }

    /// Has the manager decide on all facts, and its actions carried out, with what follows from them, until nothing is left.
    func decide() {
        guard !isDeciding else { return }
        isDeciding = true
        defer { isDeciding = false }
        while true {
            while user?.answerWaitingScan() == true {}
            let facts = takeFacts()
            if facts.isEmpty { return }
            for action in resources.handle(facts) {
                user?.perform(action)
                while user?.answerWaitingScan() == true {}
            }
        }
    }
}

// MARK: How models ask for slots and memory, and give them back

extension Run {
    /// Asks for a model that could run now, unless another run makes the same table.
    func ask(_ model: Int, _ rank: Int, isRetry: Bool) {
        let ask = SharedScans.Ask(run: number, model: model, rank: rank, isRetry: isRetry)
        if let key = sharedKey(of: model), !engine.scans.ask(ask, key: key) { return }
        askForGrant(ask)
    }

    /// Asks the resource manager for a grant.
    fileprivate func askForGrant(_ ask: SharedScans.Ask) {
        let model = ask.model
        let inputs = Set(inputs(of: model)).sorted().map { engine.tables.key(of: tables[$0]!) }
        let limit = isPreview(model) ? nil : plan.models[model].memoryBytesMax
        let expectedBytes =
            isPreview(model) ? MemoryForecast.workerBytes : engine.forecast.expectedBytes(of: subject(model))
        engine.tell(
            .asked(
                .init(
                    run: number, model: model, rank: ask.rank, expectedBytes: expectedBytes,
                    memoryBytesMax: limit.map { min(MemoryForecast.bytesMax, Int(clamping: $0)) },
                    inputs: inputs, isRetry: ask.isRetry)))
    }

    /// The key that the model's scan is shared under; nil if it shares only columns, or nothing.
    func sharedKey(of model: Int) -> String? {
        isPreview(model) ? nil : plan.models[model].sharedKey(options, engine.options)
    }

    /// Withdraws the ask of a model.
    func withdraw(_ model: Int) {
        if let key = sharedKey(of: model) { engine.scans.withdraw(.init(number, model), key: key) }
        engine.tell(.withdrawn(number, model: model))
    }

    /// Gives back the grant of a model that is over.
    func giveBack(_ model: Int) {
        // Nothing pins its inputs for it any more.
        for input in inputs(of: model) { noteChange(of: input) }
        engine.tell(.givenBack(number, model: model))
        if let key = sharedKey(of: model) { engine.scans.end(.init(number, model), key: key) }
    }
}

// MARK: How decisions are carried out

extension Engine: ResourceUser {
    func tell(_ event: ResourceManager.Event) { resources.tell(event) }

    func tellHoldings() {
        let changed = tables.changedFacts { (try? Machine.memory())?.swapBytesFree ?? 0 }
        for (key, facts) in changed { resources.tell(.tableHeld(key, facts)) }
        resources.tellPool(store.pooledBytes)
    }

    func perform(_ action: ResourceManager.Action) {
        switch action {
        case .grant(let number, let model, let grant):
            // The grant may have crossed the end of its run. It is returned at once.
            guard let run = run(number), !run.scheduler.isFinished, mayBegin(model, of: run) else {
                return tell(.givenBack(number, model: model))
            }
            run.feed(.granted(model: model, grant))
        case .refuse(let number, let model, let refusal):
            guard let run = run(number) else { return }
            if let key = run.sharedKey(of: model) { scans.withdraw(.init(number, model), key: key) }
            run.feed(.refused(model: model, reason: text(of: refusal)))
        case .evict(let key, let way): mover.evict(key, way)
        case .shrinkPool(let bytesMax):
            // The order was to free memory once, not to keep the pool small: the normal maximum is restored.
            store.limitPool(bytesMax: bytesMax)
            store.limitPool(bytesMax: poolBytesMax)
            resources.answerPool(store.pooledBytes)
        }
    }

    /// Whether a granted model is to begin. If not, its grant is to be given back, and it waits for another model's scan.
    private func mayBegin(_ model: Int, of run: Run) -> Bool {
        guard run.scheduler.isAsking(model), let key = run.sharedKey(of: model) else { return true }
        switch scans.grant(.init(run.number, model), key: key) {
        case .wait: return false
        case .begin(let waiting):
            for ask in waiting { tell(.withdrawn(ask.run, model: ask.model)) }
            return true
        }
    }

    func answerWaitingScan() -> Bool {
        guard let (ask, result, key) = scans.takeWoken() else { return false }
        guard let run = run(ask.run), run.scheduler.isAsking(ask.model) else {
            preconditionFailure("model \(ask.model) of run \(ask.run) waits for a scan and doesn't ask")
        }
        if let result {
            run.find(ask.model, result)
        } else if scans.ask(ask, key: key) {
            run.askForGrant(ask)
        }
        return true
    }

    private func text(of refusal: ResourceManager.Refusal) -> String {
        let whose = refusal.whose == .run ? "the run" : "the engine"
        var text = "its inputs take \(refusal.inputBytes >> 20) MiB"
        if refusal.fixedBytes > 0 { text += " and \(refusal.fixedBytes >> 20) MiB can't be evicted" }
        return text
            + ", \(whose) may have \(refusal.limitBytes >> 20) MiB: nothing is left to run it in; raise --memory"
    }

    func run(_ number: Int) -> Run? { runs.first { $0.number == number } }
}
