import Scheduler

typealias Event = Scheduler.Event
typealias Action = Scheduler.Action
typealias Model = Scheduler.Model
typealias WorkerID = Scheduler.WorkerID
typealias Status = Scheduler.ModelStatus

/// A scheduler that a test drives by hand.
struct Script {
    var scheduler: Scheduler
    /// All actions so far.
    private(set) var actions: [Action] = []

    /// A run that has started and whose zygotes are warm.
    init(
        _ models: [Model], slots: Int = 2, ahead: Int = 0, policy: Scheduler.FailurePolicy = .stop, warm: Bool = true
    ) throws {
        scheduler = Scheduler(
            graph: try Scheduler.Graph(models), slots: slots, workersAhead: ahead, failurePolicy: policy)
        if warm {
            feed(.start)
            for environment in scheduler.graph.environments {
                feed(.zygoteReady(environment: environment))
            }
        }
    }

    /// Feeds events and returns what the last of them led to.
    @discardableResult
    mutating func feed(_ events: Event...) -> [Action] {
        var last: [Action] = []
        for event in events {
            last = scheduler.handle(event)
            actions += last
        }
        return last
    }

    /// Lets a worker that was forked come up and take its inputs.
    @discardableResult
    mutating func begin(_ worker: Int) -> [Action] {
        let id = WorkerID(worker)
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

    /// The models that were forked for, in order.
    var forked: [Int] {
        actions.compactMap { action in
            if case .fork(let model, _, _) = action { model } else { nil }
        }
    }

    /// The outcome, if the run finished.
    var outcome: Scheduler.Outcome? {
        if case .finish(let outcome)? = actions.last { outcome } else { nil }
    }
}

/// A model of the environment `e`.
func model(_ inputs: Int..., final: Bool = false, time: Int? = nil) -> Model {
    Model(inputs: inputs, environment: "e", isFinal: final, expectedTime: time.map { .milliseconds($0) })
}

/// The preview of a model.
func preview(of input: Int) -> Model {
    Model(inputs: [input], environment: "e", role: .preview)
}

/// The fork of a worker without a limit.
func fork(_ model: Int, _ worker: Int) -> Action {
    .fork(model: model, worker: WorkerID(worker), grant: Scheduler.Grant(memoryBytesMax: nil))
}

/// The error that failing workers report.
let userError = Scheduler.WorkerError(kind: "user", message: "division by zero")
