import Scheduler

typealias Event = Scheduler.Event
typealias Action = Scheduler.Action
typealias Model = Scheduler.Model
typealias WorkerID = Scheduler.WorkerID
typealias Status = Scheduler.ModelStatus

/// A scheduler that a test drives by hand.
///
/// It has a number of slots, and answers asks as long as one is free: the lowest rank first. What is asked, withdrawn and given back is
/// then its own matter, and isn't among what an event led to. Without slots the test answers, and sees all.
struct Script {
    var scheduler: Scheduler
    /// All actions so far.
    private(set) var actions: [Action] = []
    private let slots: Int?
    private var asks: [Int: Int] = [:]
    private var used: Set<Int> = []
    /// The worker that each model had last, and the workers that have come up.
    private var workers: [Int: Int] = [:]
    private var begun: Set<Int> = []

    /// A run that has started and whose zygotes are warm.
    init(
        _ models: [Model], slots: Int? = 2, ahead: Int = 0, policy: Scheduler.FailurePolicy = .stop, warm: Bool = true
    ) throws {
        scheduler = Scheduler(graph: try Scheduler.Graph(models), workersAhead: ahead, failurePolicy: policy)
        self.slots = slots
        if warm {
            for action in feed(.start) {
                if case .startZygote(let environment) = action {
                    feed(.zygoteReady(environment: environment))
                }
            }
        }
    }

    /// Feeds events and returns the actions that the last of them led to.
    @discardableResult
    mutating func feed(_ events: Event...) -> [Action] {
        var last: [Action] = []
        for event in events {
            last = handle(event)
            while let slots, used.count < slots, let next = asks.min(by: { $0.key < $1.key }) {
                last += handle(.granted(model: next.value, Self.grant))
            }
        }
        return slots == nil ? last : last.filter { !Self.isOwnMatter($0) }
    }

    private mutating func handle(_ event: Event) -> [Action] {
        if case .granted(let model, _) = event, slots != nil {
            asks = asks.filter { $0.value != model }
            used.insert(model)
        }
        let led = scheduler.handle(event)
        actions += led
        for action in led {
            switch action {
            case .fork(let model, let worker), .move(let worker, let model): workers[model] = worker.number
            case .ask(let model, let rank, _): asks[rank] = model
            case .withdraw(let model): asks = asks.filter { $0.value != model }
            case .giveBack(let model): used.remove(model)
            default: break
            }
        }
        return led
    }

    private static func isOwnMatter(_ action: Action) -> Bool {
        switch action {
        case .ask, .withdraw, .giveBack: true
        default: false
        }
    }

    /// The grant with which it answers every ask.
    static let grant = Scheduler.Grant(memoryBytesMax: 1 << 30, expectedBytes: 1 << 20)

    /// Lets a worker that was forked come up and take its inputs.
    @discardableResult
    mutating func begin(_ worker: Int) -> [Action] {
        let id = WorkerID(worker)
        begun.insert(worker)
        feed(.forked(id))
        return feed(.started(id))
    }

    /// Lets a worker that was sent its inputs run, publish and leave.
    @discardableResult
    mutating func publish(_ worker: Int) -> [Action] {
        let id = WorkerID(worker)
        return feed(.running(id), .published(id), .exited(id, Scheduler.Exit()))
    }

    /// Lets a worker do all it is there for.
    @discardableResult
    mutating func complete(_ worker: Int) -> [Action] {
        begin(worker)
        publish(worker)
        return feed(.tableReady(model: scheduler.model(of: WorkerID(worker))))
    }

    /// Lets the worker that a granted model has do all that is left to do.
    mutating func complete(model: Int) {
        let worker = workers[model]!
        if !begun.contains(worker) { begin(worker) }
        publish(worker)
        feed(.tableReady(model: model))
    }

    /// Lets a worker that was sent its inputs say that it has too little memory, and leave.
    @discardableResult
    mutating func runOutOfMemory(_ worker: Int) -> [Action] {
        feed(.failed(WorkerID(worker), memoryError), .exited(WorkerID(worker), Scheduler.Exit(status: 1)))
    }

    /// The models that were forked for, in order.
    var forked: [Int] {
        actions.compactMap { action in
            if case .fork(let model, _) = action { model } else { nil }
        }
    }

    /// The statuses that a model was given, in order.
    func statuses(of settled: Int) -> [Status] {
        actions.compactMap { action in
            if case .settle(settled, let status) = action { status } else { nil }
        }
    }

    /// The outcome, if the run finished.
    var outcome: Scheduler.Outcome? {
        if case .finish(let outcome)? = actions.last { outcome } else { nil }
    }
}

/// A model of the environment `e`.
func model(
    _ inputs: Int..., final: Bool = false, time: Int? = nil, cached: Bool = false, rollsBack: Bool = true
) -> Model {
    Model(
        inputs: inputs, environment: "e", isFinal: final, expectedTime: time.map { .milliseconds($0) },
        isCached: cached, canRollBack: rollsBack)
}

/// The preview of a model.
func preview(of input: Int) -> Model {
    Model(inputs: [input], environment: "e", role: .preview)
}

/// The fork of a worker.
func fork(_ model: Int, _ worker: Int) -> Action {
    .fork(model: model, worker: WorkerID(worker))
}

/// The inputs for a worker that was granted by the script.
func send(_ model: Int, _ worker: Int) -> Action {
    .send(model: model, worker: WorkerID(worker), grant: Script.grant)
}

/// The error that failing workers report.
let userError = Scheduler.WorkerError(kind: "user", message: "division by zero")

/// The error of a worker that has too little memory.
let memoryError = Scheduler.WorkerError(kind: "memory", message: "array of 3 GB")
