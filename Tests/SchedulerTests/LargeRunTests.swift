import Scheduler
import Testing

/// Runs of ten thousand models and of forty thousand; the times are printed, so that one can see how they grow.
@Suite(.serialized) struct LargeRunTests {
    enum Shape: String, CaseIterable {
        case chain, fan, layers, independent
    }

    enum Way: String, CaseIterable {
        case success, failure, cancel
        /// The table in the middle is dropped, or the only one that is read, and what it is made from runs again.
        case drop
    }

    static func models(_ shape: Shape, _ count: Int) -> [Model] {
        (0..<count).map { index in
            switch shape {
            case .chain: Model(inputs: index == 0 ? [] : [index - 1], environment: "e")
            case .fan: Model(inputs: index == 0 ? [] : [0], environment: "e")
            case .layers:
                Model(
                    inputs: index < 100 ? [] : (0..<5).map { (index / 100 - 1) * 100 + (index * 7 + $0 * 13) % 100 },
                    environment: "e\(index % 50)")
            case .independent: Model(inputs: [], environment: "e\(index)")
            }
        }
    }

    @Test(arguments: Shape.allCases, Way.allCases) func aLargeRunFinishes(_ shape: Shape, _ way: Way) throws {
        for count in [10_000, 40_000] {
            let models = Self.models(shape, count)
            var status: Scheduler.Outcome.Status?
            let time = try ContinuousClock().measure {
                status = try Self.run(models, way)
            }
            print("\(shape.rawValue), \(way.rawValue): \(count) models in \(time)")
            #expect(status == [.success: .success, .failure: .failed, .cancel: .cancelled, .drop: .success][way])
        }
    }

    private static func run(_ models: [Model], _ way: Way) throws -> Scheduler.Outcome.Status? {
        var scheduler = Scheduler(
            graph: try Scheduler.Graph(models), workersAhead: 16,
            failurePolicy: way == .failure ? .keepGoing : .stop)
        var events: [Event] = [.start]
        var handled = 0
        var asks: [Int] = []
        var answered = 0
        var granted = 0
        var hasDropped = models.last?.inputs.isEmpty == true
        while handled < events.count {
            if way == .cancel, handled == models.count {
                events.append(.cancel)
            }
            for action in scheduler.handle(events[handled]) {
                switch action {
                case .ask(let model, _, _): asks.append(model)
                case .giveBack: granted -= 1
                case .startZygote(let environment): events.append(.zygoteReady(environment: environment))
                case .fork(_, let worker): events += [.forked(worker), .started(worker)]
                case .send(let model, let worker, _):
                    let fails = way == .failure && model == models.count / 2
                    events += [.running(worker), fails ? .failed(worker, userError) : .published(worker)]
                    events.append(.exited(worker, Scheduler.Exit()))
                case .kill(let worker) where scheduler.isAlive(worker):
                    events.append(.exited(worker, Scheduler.Exit(signal: 9)))
                case .seal(let model, _): events.append(.tableReady(model: model))
                case .finish(let outcome):
                    #expect(hasDropped || way != .drop)
                    return outcome.status
                default: break
                }
            }
            while granted < 64, answered < asks.count {
                events.append(.granted(model: asks[answered], Script.grant))
                granted += 1
                answered += 1
            }
            if way == .drop, !hasDropped, case .tableReady(let model) = events[handled] {
                if model == models.count / 2 || models.last?.inputs == [model], scheduler.canDrop(model) {
                    hasDropped = true
                    events.insert(.dropped(model: model), at: handled + 1)
                }
            }
            handled += 1
            // A worker that is killed still has its own end in the queue, and ends once.
            while handled < events.count, let worker = Self.subject(events[handled]), !scheduler.isAlive(worker) {
                handled += 1
            }
        }
        return nil
    }

    private static func subject(_ event: Event) -> WorkerID? {
        switch event {
        case .started(let worker), .forked(let worker), .running(let worker), .published(let worker),
            .failed(let worker, _), .exited(let worker, _):
            worker
        default: nil
        }
    }
}
