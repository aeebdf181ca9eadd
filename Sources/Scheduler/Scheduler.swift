/// Decides what a run does next: events in, actions out.
///
/// It does no input or output, knows no time and waits for nothing, so that a run can be replayed, and tested by the ten
/// thousand. The engine carries out the actions and reports what came of them. A run's life:
///
/// ```
/// model    waiting ──inputs held──▶ queued ──ask, granted──▶ granted ──worker dead, result there──▶ sealing ──▶ settled
///           ▲  ▲ │                     └─ask, found──────────────────────────────────────────────────────────▶┤  │
///           │  │ └──────────┴──────────┬──────────────────failed, cancelled, skipped─────────────────────┴───▶┘  │
///           │  └─an input was dropped──┘ ◀──out of memory, once──┘                                               │
///           └───────────────────────────the table was dropped, and a reader lacks nothing else───────────────────┘
/// worker   fork ▶ starting ──started──▶ idle ──send──▶ sent ──running──▶ running ──published, done──▶ delivered ──exited▶ over
///                    └────────────────────┴──────────────┴────────────────┴───failed, killed───▶ ending     handedOver▶ leaving ──exited▶ over
///                                                                                                └─────exited▶ over
/// table    none ──tableReady, handedOver──▶ held ──last reader settled; if final, run over──▶ released
///            ▲                    └──dropped──▶ owed ──last reader settled──▶ gone
///            └──────demanded────────────────────┘
/// ```
///
/// It holds at all times:
/// - A model runs only with a grant, and asks for one as soon as its inputs are held and its zygote is ready. It gives each grant
///   back once: when its worker is over and, if that published, its table is ready or rejected.
/// - At most `workersAhead` workers without a grant are alive; they are idle and belong to models that soon can run. A model that is granted
///   and has no worker that waits takes one of these: nothing was sent to it, so it is as good for any model of its environment.
/// - A worker is sent its inputs when all their tables are held, and they are held and pinned until the grant is given back:
///   only then has the model's own table references of its own to what it reshares.
/// - A model is settled when no worker of it is alive. Of several reasons to end it the first one counts. It is settled once, and
///   once more for each time it is to run again.
/// - A model is to run again if its table was dropped, and a reader that isn't settled lacks nothing but dropped tables; inputs
///   of it that aren't there any more are made again with it. It is called off if nobody needs it any more.
/// - A model that a cache provides, and one that only such models read, doesn't run, unless it is to run again in that sense.
/// - No worker is forked for a model whose table may be found before it is granted, and none ever if it is found.
/// - A worker that has too little memory is replaced, once each time its model is run; the grant is asked for anew.
/// - A result that arrived completely counts, however its worker ends, unless the worker sends something after it and before its table is
///   there.
/// - A table may be handed over before its worker is dead (`handedOver`). Its readers run then, and nothing that the worker does can take it back;
///   but its model keeps its grant and has no status until the worker is dead, and until then its table is neither released nor dropped.
/// - The run finishes once, when all models are settled and all tables are released.
///
/// Whatever a worker sends is an event that can be handled. Events that contradict the engine's contract (see `Event`)
/// are programmer errors and trap.
public struct Scheduler: Sendable {
    /// The models of the run.
    public let graph: Graph
    /// How many workers may be forked before their models are granted, to hide the time that takes.
    public let workersAhead: Int
    /// What the failure of one model means for the others.
    public let failurePolicy: FailurePolicy

    var models: [ModelState]
    var environments: [EnvironmentState]
    /// The model of each worker ever forked; the index is the worker's number.
    var workers: [Int] = []
    /// Ranks of queued models whose zygote is ready and that have not asked. Models that aren't queued any more are skipped.
    var queue = RankQueue()
    /// Ranks of models for which a worker may be forked ahead; models that no longer need one are skipped.
    var aheadQueue = RankQueue()
    /// Ranks of models whose inputs could all be granted: a worker may be forked for them when nobody needs one sooner.
    var farQueue = RankQueue()
    /// Models for `releaseUnneeded` to look at: in this event they were settled or lost their last reader.
    var resting: [Int] = []
    /// Models for `demand` to look at: since this event they may lack nothing but owed tables.
    var wanting: [Int] = []
    /// Workers alive whose models have no grant.
    var aheadCount = 0
    var unsettled: Int
    var isStarted = false
    /// Whether nothing new may start.
    var isStopping = false
    var isCancelled = false
    var cause: Outcome.Cause?
    /// Whether `finish` was given.
    public private(set) var isFinished = false
    /// The actions that the event at hand has led to so far.
    var actions: [Action] = []

    /// A run that has not started.
    public init(graph: Graph, workersAhead: Int = 0, failurePolicy: FailurePolicy = .stop) {
        precondition(workersAhead >= 0, "workers ahead can't be negative")
        self.graph = graph
        self.workersAhead = workersAhead
        self.failurePolicy = failurePolicy
        models = graph.models.indices.map { model in
            let isCached = graph.models[model].isCached
            let isNeeded = graph.isNeeded[model]
            let inputsToMake = graph.inputs[model].count { !graph.models[$0].isCached }
            let inputsFar = graph.inputs[model].count { input in
                !graph.models[input].isCached && !graph.inputs[input].allSatisfy { graph.models[$0].isCached }
            }
            return ModelState(
                table: isCached ? .held : isNeeded ? .none : .gone, needsInputs: isNeeded,
                inputsMissing: inputsToMake, inputsUngranted: inputsToMake, inputsFar: inputsFar,
                readersLeft: graph.readers[model].count { graph.isNeeded[$0] }, wasGranted: isCached)
        }
        environments = graph.environments.map { _ in EnvironmentState() }
        unsettled = graph.models.count
    }

    /// Takes in an event and says what to do now.
    ///
    /// Over a run the time is near linear in models and inputs, those of models that run again counted again. Traps if the event
    /// contradicts the engine's contract.
    public mutating func handle(_ event: Event) -> [Action] {
        if isFinished {
            precondition(Self.mayComeLate(event), "the run is finished: \(event)")
            return []
        }
        precondition(isStarted || event == .start || event == .cancel, "the run has not started: \(event)")
        take(event)
        releaseUnneeded()
        demand()
        if isStarted, !isStopping {
            ask()
            forkAhead()
        }
        finishIfOver()
        defer { actions = [] }
        return actions
    }

    private mutating func take(_ event: Event) {
        switch event {
        case .start: start()
        case .cancel: cancel()
        case .zygoteReady(let environment): zygoteReady(self.environment(environment))
        case .zygoteFailed(let environment, let reason): zygoteFailed(self.environment(environment), reason)
        case .granted(let model, let grant): granted(model, grant)
        case .refused(let model, let reason): refused(model, reason)
        case .forked(let worker): forked(model(ofForking: worker))
        case .forkFailed(let worker, let reason): loseWorker(model(ofForking: worker), .fork(reason))
        case .sendFailed(let worker, let reason): spoil(model(ofLive: worker), .send(reason))
        case .started(let worker): started(model(ofLive: worker))
        case .running(let worker): running(model(ofLive: worker))
        case .published(let worker): delivered(model(ofLive: worker), as: .table)
        case .handedOver(let worker): handedOver(worker)
        case .done(let worker): delivered(model(ofLive: worker), as: .preview)
        case .failed(let worker, let error): reported(model(ofLive: worker), error)
        case .misbehaved(let worker, let reason): spoil(model(ofLive: worker), .misbehaved(reason))
        case .timedOut(let worker): timedOut(worker)
        case .exited(let worker, let exit): exited(model(ofLive: worker), exit)
        case .tableReady(let model): tableReady(model)
        case .tableFound(let model): tableFound(model)
        case .tableRejected(let model, let reason): tableRejected(model, reason)
        case .dropped(let model): dropped(model)
        }
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

    /// The model's status, nil as long as it has none: before it is settled, and while it is run again.
    public func status(of model: Int) -> ModelStatus? {
        if case .settled(let status) = models[model].phase { status } else { nil }
    }

    /// Events that need no worker to be alive and no table, so that the engine may have them in its queue when a run finishes.
    private static func mayComeLate(_ event: Event) -> Bool {
        switch event {
        case .start, .cancel, .zygoteReady, .zygoteFailed, .granted, .refused, .timedOut: true
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
