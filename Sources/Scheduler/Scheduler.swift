/// Decides what a run does next: events in, actions out.
///
/// It does no input or output, knows no time and waits for nothing, so that a run can be replayed, and tested by the ten
/// thousand. The engine carries out the actions and reports what came of them. A run's life:
///
/// ```
/// model    waiting ──inputs ready──▶ queued ──slot──▶ assigned ──worker dead, result there──▶ sealing ──▶ settled
///             └───────────┴──────────────┴─────────────failed, cancelled, skipped────────────────┴───────────▶┘
/// worker   fork ▶ starting ──started──▶ idle ──send──▶ sent ──running──▶ running ──published, done──▶ delivered ──exited▶ over
///                    └────────────────────┴──────────────┴────────────────┴───failed, killed───▶ ending ───────exited▶ over
/// table    none ──tableReady──▶ held ──last reader settled; if final, run over──▶ released
/// ```
///
/// It holds at all times:
/// - No model is assigned while `slots` or more are assigned or sealing; so there are at most `slots`, unless there were more before
///   slots were taken away. A slot is free only if no model is queued whose zygote is ready, or the run stops.
/// - At most `workersAhead` further workers are alive; they are idle and belong to models that soon can run.
/// - A worker is sent its inputs when all their tables are held, and they are held until the worker is over and, if it
///   published, its own table is ready: only then has that table references of its own to what it reshares.
/// - A model is settled once, when no worker of it is alive. Of several reasons to end it the first one counts.
/// - A result that arrived completely counts, however its worker ends, unless the worker sends something after it.
/// - The run finishes once, when all models are settled and all tables are released.
///
/// Whatever a worker sends is an event that can be handled. Events that contradict the engine's contract (see `Event`)
/// are programmer errors and trap.
public struct Scheduler: Sendable {
    /// The models of the run.
    public let graph: Graph
    /// How many models may run at once; what runs goes on when there are fewer than before.
    public internal(set) var slots: Int
    /// How many workers may be forked before their models can run, to hide the time that takes.
    public let workersAhead: Int
    /// What becomes of the rest when a model fails.
    public let failurePolicy: FailurePolicy

    var models: [ModelState]
    var environments: [EnvironmentState]
    /// The model of each worker ever forked; the index is the worker's number.
    var workers: [Int] = []
    /// Ranks of queued models whose zygote is ready. Models that have been ended meanwhile are passed over.
    var queue = RankQueue()
    /// Ranks of models for which a worker may be forked ahead, likewise.
    var aheadQueue = RankQueue()
    /// Slots that models hold.
    public internal(set) var slotsUsed = 0
    /// How often a model was given a slot.
    public internal(set) var assignedCount = 0
    /// Workers alive whose models aren't assigned.
    var aheadCount = 0
    var unsettled: Int
    var isStarted = false
    /// Whether nothing new may start.
    var isStopping = false
    var isCancelled = false
    var cause: Outcome.Cause?
    /// Whether `finish` was given.
    public private(set) var isFinished = false
    /// What the event at hand has led to so far.
    var actions: [Action] = []

    /// A run that has not started.
    public init(graph: Graph, slots: Int, workersAhead: Int = 0, failurePolicy: FailurePolicy = .stop) {
        precondition(slots >= 0, "slots can't be negative")
        precondition(workersAhead >= 0, "workers ahead can't be negative")
        self.graph = graph
        self.slots = slots
        self.workersAhead = workersAhead
        self.failurePolicy = failurePolicy
        models = graph.models.indices.map { model in
            ModelState(
                inputsMissing: graph.inputs[model].count, inputsUnassigned: graph.inputs[model].count,
                readersLeft: graph.readers[model].count)
        }
        environments = graph.environments.map { _ in EnvironmentState() }
        unsettled = graph.models.count
    }

    /// Takes in an event and says what to do now.
    ///
    /// Over a run the time is near linear in models and inputs. Traps if the event contradicts the engine's contract.
    public mutating func handle(_ event: Event) -> [Action] {
        if isFinished {
            precondition(Self.mayComeLate(event), "the run is finished: \(event)")
            return []
        }
        precondition(isStarted || Self.mayComeEarly(event), "the run has not started: \(event)")
        switch event {
        case .start: start()
        case .cancel: cancel()
        case .slotsChanged(let slots):
            precondition(slots >= 0, "slots can't be negative")
            self.slots = slots
        case .zygoteReady(let environment): zygoteReady(self.environment(environment))
        case .zygoteFailed(let environment, let reason): zygoteFailed(self.environment(environment), reason)
        case .forked(let worker): forked(model(ofForking: worker))
        case .forkFailed(let worker, let reason): loseWorker(model(ofForking: worker), .fork(reason))
        case .sendFailed(let worker, let reason): spoil(model(ofLive: worker), .send(reason))
        case .started(let worker): started(model(ofLive: worker))
        case .running(let worker): running(model(ofLive: worker))
        case .published(let worker): delivered(model(ofLive: worker), as: .table)
        case .done(let worker): delivered(model(ofLive: worker), as: .preview)
        case .failed(let worker, let error): reported(model(ofLive: worker), error)
        case .misbehaved(let worker, let reason): spoil(model(ofLive: worker), .misbehaved(reason))
        case .timedOut(let worker): timedOut(worker)
        case .exited(let worker, let exit): exited(model(ofLive: worker), exit)
        case .tableReady(let model): tableReady(model)
        case .tableRejected(let model, let reason): tableRejected(model, reason)
        }
        if isStarted, !isStopping {
            assignSlots()
            forkAhead()
        }
        finishIfOver()
        defer { actions = [] }
        return actions
    }

    /// Whether a worker was forked, or is to be, and isn't over: it may have events.
    public func isAlive(_ worker: WorkerID) -> Bool {
        workers.indices.contains(worker.number) && models[workers[worker.number]].worker?.id == worker
    }

    /// Whether the worker's `forked` or `forkFailed` is still to come.
    public func isForking(_ worker: WorkerID) -> Bool {
        isAlive(worker) && models[workers[worker.number]].worker?.isForked == false
    }

    /// The model that the worker was forked for. Traps if no fork action named the worker.
    public func model(of worker: WorkerID) -> Int {
        precondition(workers.indices.contains(worker.number), "\(worker) was never forked")
        return workers[worker.number]
    }

    /// The model's final status, nil as long as it has none.
    public func status(of model: Int) -> ModelStatus? {
        if case .settled(let status) = models[model].phase { status } else { nil }
    }

    /// How many slots it would use now if it had them; it may be a few less where models have been ended in the queue.
    public var slotsWanted: Int { isStopping ? slotsUsed : slotsUsed + queue.count }

    private static func mayComeEarly(_ event: Event) -> Bool {
        switch event {
        case .start, .cancel, .slotsChanged: true
        default: false
        }
    }

    /// Events that need no worker to be alive, so that the engine may have them in its queue when a run finishes.
    private static func mayComeLate(_ event: Event) -> Bool {
        switch event {
        case .start, .cancel, .slotsChanged, .zygoteReady, .zygoteFailed, .timedOut: true
        default: false
        }
    }

    private func environment(_ key: String) -> Int {
        guard let index = graph.environmentIndex[key] else {
            preconditionFailure("no model has the environment \(key)")
        }
        return index
    }

    private func model(ofLive worker: WorkerID) -> Int {
        precondition(isAlive(worker), "\(worker) is over, or never was")
        return workers[worker.number]
    }

    private func model(ofForking worker: WorkerID) -> Int {
        precondition(isForking(worker), "\(worker) isn't being forked")
        return workers[worker.number]
    }

    private mutating func finishIfOver() {
        guard unsettled == 0 else {
            return
        }
        for model in models.indices where models[model].table == .held {
            release(model)
        }
        isFinished = true
        let status: Outcome.Status = isCancelled ? .cancelled : cause == nil ? .success : .failed
        actions.append(
            .finish(Outcome(status: status, cause: cause, models: models.indices.map { self.status(of: $0)! })))
    }
}
