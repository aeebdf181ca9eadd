import Scheduler

/// What must not happen, and did.
struct Violation: Error, CustomStringConvertible {
    let description: String
}

/// Watches a run from outside and knows what may happen in it. It shares no code with the scheduler.
struct Oracle {
    struct Worker: Equatable {
        let model: Int
        var isForked = false
        var hasStarted = false
        var isSent = false
        var isRunning = false
        var isKilled = false
        /// Its result arrived, and nothing has spoiled it since.
        var hasResult = false
        /// It can't have a result any more that counts.
        var isSpoiled = false
        /// Nobody waits for it to leave by itself.
        var mustDie = false
        /// Dead, or never born: nothing more comes of it.
        var isOver = false
        var isClosed = false
    }

    enum Table: Equatable {
        case none, sealing, held, released
    }

    let workload: Workload
    let distinctInputs: [[Int]]
    let readers: [[Int]]
    var workers: [Scheduler.WorkerID: Worker] = [:]
    /// Workers that were neither sealed nor discarded.
    var open: [Scheduler.WorkerID] = []
    /// Every model's last worker.
    var lastWorker: [Scheduler.WorkerID?]
    var tables: [Table]
    var statuses: [Scheduler.ModelStatus?]
    var zygotesAsked: Set<String> = []
    var zygotesReady: Set<String> = []
    var zygotesDead: Set<String> = []
    /// Slots of the run now, and the most it ever had: what ran when some were taken away goes on.
    var slots: Int
    var slotsMax: Int
    var isStarted = false
    var isCancelled = false
    /// Whether something happened that may make a model fail.
    var isTroubled = false
    /// Whether nothing may start any more.
    var isStopping = false
    var outcome: Scheduler.Outcome?

    init(_ workload: Workload) {
        self.workload = workload
        slots = workload.slots
        slotsMax = workload.slots
        let models = workload.graph.models
        distinctInputs = models.map { Array(Set($0.inputs)) }
        var readers = [[Int]](repeating: [], count: models.count)
        for (index, inputs) in distinctInputs.enumerated() {
            for input in inputs {
                readers[input].append(index)
            }
        }
        self.readers = readers
        lastWorker = models.map { _ in nil }
        tables = models.map { _ in .none }
        statuses = models.map { _ in nil }
    }

    var models: [Scheduler.Model] { workload.graph.models }

    private func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        if !condition {
            throw Violation(description: message())
        }
    }

    /// The model's worker, unless it is over; a model never has two.
    func living(_ model: Int) -> Worker? {
        guard let id = lastWorker[model], let worker = workers[id], !worker.isOver else {
            return nil
        }
        return worker
    }

    // MARK: - events

    mutating func see(_ event: Scheduler.Event) {
        switch event {
        case .start: isStarted = true
        case .slotsChanged(let slots):
            self.slots = slots
            slotsMax = max(slotsMax, slots)
        case .cancel:
            isCancelled = true
            stop()
            for worker in workers.keys {
                workers[worker]!.mustDie = true
            }
        case .zygoteReady(let environment): zygotesReady.insert(environment)
        case .zygoteFailed(let environment, _): zygoteDied(environment)
        case .forked(let worker): workers[worker]!.isForked = true
        case .forkFailed(let worker, _):
            workers[worker]!.isOver = true
            trouble(worker)
        case .sendFailed(let worker, _), .misbehaved(let worker, _): spoil(worker)
        case .failed(let worker, _):
            // A first time it may leave by itself.
            spoil(worker, mustDie: workers[worker]!.hasResult || workers[worker]!.isSpoiled)
        case .timedOut(let worker):
            if let known = workers[worker], !known.isOver {
                workers[worker]!.mustDie = true
                if !known.hasResult {
                    spoil(worker)
                }
            }
        case .started(let worker):
            if workers[worker]!.hasStarted || workers[worker]!.isSpoiled {
                spoil(worker)
            }
            workers[worker]!.hasStarted = true
        case .running(let worker):
            let known = workers[worker]!
            if !known.isSent || known.isRunning || known.hasResult || known.isSpoiled {
                spoil(worker)
            }
            workers[worker]!.isRunning = true
        case .published(let worker): deliver(worker, .table)
        case .done(let worker): deliver(worker, .preview)
        case .exited(let worker, _):
            workers[worker]!.isOver = true
            if !workers[worker]!.hasResult {
                trouble(worker)
            }
        case .tableReady(let model): tables[model] = .held
        case .tableRejected(let model, _):
            tables[model] = .none
            fail(model)
        }
    }

    private mutating func zygoteDied(_ environment: String) {
        zygotesDead.insert(environment)
        for (worker, known) in workers where !known.isOver && models[known.model].environment == environment {
            if !known.isForked {
                workers[worker]!.isOver = true
            }
            workers[worker]!.mustDie = true
            if !known.hasResult {
                workers[worker]!.isSpoiled = true
            }
        }
        isTroubled = true
        let needs = models.indices.contains {
            models[$0].environment == environment && models[$0].role == .table && statuses[$0] == nil
                && tables[$0] == .none && living($0)?.hasResult != true
        }
        if workload.failurePolicy == .stop, needs {
            stop()
        }
    }

    private mutating func stop() {
        isStopping = true
        for (worker, known) in workers where !known.isOver && !known.hasResult && !known.isSpoiled {
            workers[worker]!.isSpoiled = true
            workers[worker]!.mustDie = true
        }
    }

    private mutating func deliver(_ worker: Scheduler.WorkerID, _ role: Scheduler.Model.Role) {
        let known = workers[worker]!
        if !known.isSent || known.hasResult || known.isSpoiled || models[known.model].role != role {
            spoil(worker)
        } else {
            workers[worker]!.hasResult = true
        }
    }

    private mutating func spoil(_ worker: Scheduler.WorkerID, mustDie: Bool = true) {
        workers[worker]!.isSpoiled = true
        workers[worker]!.hasResult = false
        workers[worker]!.mustDie = workers[worker]!.mustDie || mustDie
        trouble(worker)
    }

    private mutating func trouble(_ worker: Scheduler.WorkerID) {
        fail(workers[worker]!.model)
    }

    private mutating func fail(_ model: Int) {
        isTroubled = true
        if workload.failurePolicy == .stop, models[model].role == .table {
            stop()
        }
    }

    // MARK: - actions

    mutating func see(_ action: Scheduler.Action) throws {
        try require(outcome == nil, "\(action) after finish")
        switch action {
        case .startZygote(let environment):
            try require(isStarted && !isStopping, "\(action) in a run that is to stop")
            try require(zygotesAsked.insert(environment).inserted, "\(action) twice")
        case .fork(let model, let worker, _): try sawFork(model, worker)
        case .send(let model, let worker): try sawSend(model, worker)
        case .kill(let worker):
            let known = workers[worker]
            try require(known?.isForked == true && known?.isOver == false, "kills \(worker), which isn't alive")
            let isSkipped = known?.isSent == false && isTroubled
            try require(known?.mustDie == true || isSkipped, "kills \(worker) for no reason")
            try require(known?.isKilled == false, "kills \(worker) twice")
            workers[worker]!.isKilled = true
        case .seal(let model, let worker):
            try close(worker)
            try require(workers[worker]!.model == model && workers[worker]!.hasResult, "seals what isn't published")
            try require(tables[model] == .none && models[model].role == .table, "seals model \(model) wrongly")
            tables[model] = .sealing
        case .discard(let worker):
            try close(worker)
            let known = workers[worker]!
            try require(!known.hasResult || models[known.model].role == .preview, "discards the table of \(worker)")
        case .release(let model): try sawRelease(model)
        case .settle(let model, let status): try sawSettle(model, status)
        case .finish(let outcome): try sawFinish(outcome)
        }
    }

    private mutating func sawFork(_ model: Int, _ worker: Scheduler.WorkerID) throws {
        try require(isStarted && !isStopping, "forks \(worker) in a run that is to stop")
        try require(workers[worker] == nil, "forks \(worker) twice")
        try require(living(model) == nil && statuses[model] == nil, "forks for model \(model), which has a worker")
        let environment = models[model].environment
        try require(zygotesReady.contains(environment) && !zygotesDead.contains(environment), "forks from no zygote")
        workers[worker] = Worker(model: model)
        lastWorker[model] = worker
        open.append(worker)
    }

    private mutating func sawSend(_ model: Int, _ worker: Scheduler.WorkerID) throws {
        guard let known = workers[worker] else {
            throw Violation(description: "sends to unknown \(worker)")
        }
        try require(known.model == model, "sends model \(model) to \(worker) of another")
        try require(known.isForked && known.hasStarted && !known.isOver, "sends to \(worker) before it waits for it")
        try require(!known.isSent && !known.isKilled && !known.isSpoiled, "sends to \(worker) in vain")
        try require(!isStopping, "sends to \(worker) in a run that is to stop")
        try require(inputsAreHeld(model), "sends model \(model) without all inputs")
        workers[worker]!.isSent = true
    }

    private mutating func close(_ worker: Scheduler.WorkerID) throws {
        try require(workers[worker]?.isOver == true, "closes \(worker), which isn't over")
        try require(workers[worker]?.isClosed == false, "closes \(worker) twice")
        workers[worker]!.isClosed = true
        open.removeAll { $0 == worker }
    }

    private mutating func sawRelease(_ model: Int) throws {
        try require(tables[model] == .held, "releases the table of model \(model), which is \(tables[model])")
        try require(readers[model].allSatisfy { statuses[$0] != nil }, "releases model \(model) under a reader")
        if models[model].isFinal {
            try require(statuses.allSatisfy { $0 != nil }, "releases final model \(model) early")
        }
        tables[model] = .released
    }

    private mutating func sawSettle(_ model: Int, _ status: Scheduler.ModelStatus) throws {
        try require(statuses[model] == nil, "settles model \(model) twice")
        try require(living(model) == nil, "settles model \(model) while its worker lives")
        try require(tables[model] != .sealing, "settles model \(model) while it is sealed")
        statuses[model] = status
        let delivered = lastWorker[model].map { workers[$0]!.hasResult } ?? false
        switch status {
        case .success:
            try require(delivered, "model \(model) succeeds without a result")
            try require(models[model].role == .preview || tables[model] == .held, "model \(model) has no table")
        case .failed:
            try require(isTroubled, "model \(model) fails for no reason")
        case .cancelled:
            try require(isStopping && !delivered, "model \(model) is cancelled for no reason")
        case .skipped(let because):
            try require(models[because].role == .table && !delivered, "model \(model) is skipped for no reason")
        }
    }

    private mutating func sawFinish(_ outcome: Scheduler.Outcome) throws {
        try require(workers.values.allSatisfy { $0.isOver && $0.isClosed }, "finishes with living workers")
        try require(tables.allSatisfy { $0 == .none || $0 == .released }, "finishes with tables held")
        try require(outcome.models.map(Optional.some) == statuses, "the outcome isn't what was settled")
        let isFailed = models.indices.contains { index in
            if case .failed = outcome.models[index] { models[index].role == .table } else { false }
        }
        let expected: Scheduler.Outcome.Status = isCancelled ? .cancelled : isFailed ? .failed : .success
        try require(outcome.status == expected, "finishes with \(outcome.status) and not \(expected)")
        try require((outcome.cause != nil) == isFailed, "finishes with the cause \(String(describing: outcome.cause))")
        if let cause = outcome.cause {
            try require(outcome.models[cause.model] == .failed(cause.failure), "the cause isn't the model's failure")
        }
        if !isTroubled, !isCancelled {
            try require(outcome.models.allSatisfy { $0 == .success }, "not all succeed, and nothing went wrong")
        }
        for (model, status) in outcome.models.enumerated() {
            try checkEnd(model, status, outcome)
        }
        self.outcome = outcome
    }

    private func checkEnd(_ model: Int, _ status: Scheduler.ModelStatus, _ outcome: Scheduler.Outcome) throws {
        if case .skipped(let because) = status {
            guard case .failed = outcome.models[because] else {
                throw Violation(description: "model \(model) is skipped because of \(because), which didn't fail")
            }
            if workload.failurePolicy == .keepGoing {
                let inputs = distinctInputs[model]
                try require(inputs.contains { outcome.models[$0] != .success }, "model \(model) could have run")
            }
        }
        if status == .cancelled {
            try require(isCancelled || workload.failurePolicy == .stop, "model \(model) is cancelled by nobody")
        }
    }

    // MARK: - between events

    private func inputsAreHeld(_ model: Int) -> Bool {
        distinctInputs[model].allSatisfy { tables[$0] == .held }
    }

    /// What must hold when the scheduler has said all it has to say.
    func checkRest() throws {
        guard outcome == nil else {
            return
        }
        let alive = open.map { workers[$0]! }
        for worker in alive where worker.isOver {
            throw Violation(description: "the worker of model \(worker.model) is over, not sealed and not discarded")
        }
        let sealing = tables.filter { $0 == .sealing }.count
        try require(alive.count + sealing <= slotsMax + workload.workersAhead, "\(alive.count) workers live")
        try require(alive.filter(\.isSent).count + sealing <= slotsMax, "more models run than there are slots")
        for model in models.indices where tables[model] == .held && !models[model].isFinal {
            try require(readers[model].contains { statuses[$0] == nil }, "the table of model \(model) lives on")
        }
        for worker in alive where worker.isForked && worker.mustDie {
            try require(worker.isKilled, "the worker of model \(worker.model) is not killed")
        }
        if isStarted, !isStopping {
            try checkNoIdleSlot(alive, sealing)
            try checkWorkersAhead(alive)
        }
    }

    private func checkNoIdleSlot(_ alive: [Worker], _ sealing: Int) throws {
        // Whoever has all inputs and a worker may hold a slot; a model that has all inputs and was sent nothing waits
        // for one, unless its worker is on its way. A table that is being sealed has one.
        let busy = alive.filter { inputsAreHeld($0.model) }
        for model in models.indices where statuses[model] == nil && tables[model] == .none && inputsAreHeld(model) {
            guard zygotesReady.contains(models[model].environment) else {
                continue
            }
            let own = living(model)
            let waits = own.map { $0.isForked && $0.hasStarted && !$0.isSent && !$0.isSpoiled } ?? true
            if waits {
                let others = busy.filter { $0.model != model }
                try require(others.count + sealing >= slots, "model \(model) waits while a slot is idle")
            }
        }
    }
    private func checkWorkersAhead(_ alive: [Worker]) throws {
        let unsent = alive.filter { !$0.isSent }.count
        guard unsent < workload.workersAhead else {
            return
        }
        for model in models.indices where statuses[model] == nil && lastWorker[model] == nil {
            let comes = distinctInputs[model].allSatisfy { input in
                tables[input] == .held || tables[input] == .sealing || living(input)?.isSent == true
            }
            let couldFork = comes && zygotesReady.contains(models[model].environment)
            try require(!couldFork, "no worker is forked ahead for model \(model)")
        }
    }
}
