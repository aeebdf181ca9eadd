import Scheduler

/// Plays the engine, its zygotes and its workers, hostile ones among them, in random order.
struct World {
    /// A line of the trace.
    enum Entry: Equatable, CustomStringConvertible {
        case event(Scheduler.Event)
        case action(Scheduler.Action)

        var description: String {
            switch self {
            case .event(let event): "\(event)"
            case .action(let action): "    \(action)"
            }
        }
    }

    /// What may happen next; a worker's messages stay in order.
    private enum Source: Equatable {
        case zygote(String)
        case zygoteDeath(String)
        /// The zygote's word on a worker: it is forked.
        case fork(Scheduler.WorkerID)
        /// The next thing that comes from the worker itself.
        case worker(Scheduler.WorkerID)
        case seal(Int)
    }

    private enum Step {
        case started, awaitInputs, running, published, done, failed, misbehaved, hang, exit
    }

    private struct Process {
        let environment: String
        var script: [Step]
        var isForked = false
        var isSent = false
        var isKilled = false
        var hasFailed = false
    }

    private var random: RandomSource
    private let workload: Workload
    private var scheduler: Scheduler
    private var oracle: Oracle
    private var sources: [Source] = []
    private var processes: [Scheduler.WorkerID: Process] = [:]
    /// The events and actions so far, for a failure's message.
    private(set) var trace: [Entry] = []

    init(seed: UInt64) {
        random = RandomSource(seed: seed)
        workload = Workload(random: &random)
        oracle = Oracle(workload)
        scheduler = Scheduler(
            graph: workload.graph, slots: workload.slots, workersAhead: workload.workersAhead,
            failurePolicy: workload.failurePolicy)
    }

    /// Runs until the scheduler finishes. Throws at the first violation.
    mutating func run() throws -> Scheduler.Outcome {
        if workload.cancels > 0, random.once(in: 50) {
            try feed(.cancel)
        }
        try feed(.start)
        while oracle.outcome == nil {
            if random.once(in: workload.cancels) {
                try feed(.cancel)
                continue
            }
            if random.once(in: 30) {
                try feed(.slotsChanged(random.below(workload.slots + 3)))
            }
            if random.once(in: workload.trouble), let worker = processes.keys.sorted().randomElement(using: &random) {
                try feed(.timedOut(worker))
                continue
            }
            let ready = sources.filter(mayHappen)
            guard let source = pick(ready) else {
                try unblock()
                continue
            }
            try happen(source)
        }
        // What an engine may still have in its queue.
        try feed(.slotsChanged(1))
        try feed(.cancel)
        for environment in workload.graph.environments {
            try feed(.zygoteFailed(environment: environment, reason: "late"))
        }
        for worker in processes.keys.sorted() {
            try feed(.timedOut(worker))
        }
        return oracle.outcome!
    }

    private mutating func feed(_ event: Scheduler.Event) throws {
        trace.append(.event(event))
        let wasFinished = oracle.outcome != nil
        if !wasFinished {
            oracle.see(event)
        }
        for action in scheduler.handle(event) {
            trace.append(.action(action))
            try oracle.see(action)
            carryOut(action)
        }
        try oracle.checkRest()
        if scheduler.isFinished != (oracle.outcome != nil) {
            throw Violation(description: "isFinished is wrong")
        }
    }

    private mutating func pick(_ ready: [Source]) -> Source? {
        guard !ready.isEmpty else {
            return nil
        }
        // Mostly in the workload's order, so that each of them gets far.
        switch workload.order {
        case .oldest where !random.once(in: 10): return ready.first
        case .newest where !random.once(in: 10): return ready.last
        default: return ready[random.below(ready.count)]
        }
    }

    private func mayHappen(_ source: Source) -> Bool {
        guard case .worker(let worker) = source, let process = processes[worker] else {
            return true
        }
        switch process.script.first! {
        case .awaitInputs: return process.isSent || process.isKilled
        case .hang: return process.isKilled
        case .exit: return process.isForked
        default: return true
        }
    }

    /// Nothing happens by itself. That is right only if a worker hangs or stays after it said that it failed: then a
    /// timer fires. Or slots are missing.
    private mutating func unblock() throws {
        guard oracle.slots >= workload.slots else {
            return try feed(.slotsChanged(workload.slots))
        }
        let hanging = processes.keys.sorted().filter { worker in
            let process = processes[worker]!
            return process.script.first == .hang || (process.hasFailed && process.script.first == .awaitInputs)
        }
        guard let worker = hanging.first else {
            throw Violation(description: "deadlock: nothing is outstanding and the run isn't finished")
        }
        try feed(.timedOut(worker))
    }

    private mutating func carryOut(_ action: Scheduler.Action) {
        switch action {
        case .startZygote(let environment):
            sources.append(.zygote(environment))
        case .fork(let model, let worker, _):
            let model = workload.graph.models[model]
            processes[worker] = Process(environment: model.environment, script: script(model.role))
            sources.append(.fork(worker))
            sources.append(.worker(worker))
        case .send(_, let worker):
            processes[worker]!.isSent = true
        case .kill(let worker):
            processes[worker]!.isKilled = true
            // What it had sent before still arrives.
            if !random.once(in: 3) {
                processes[worker]!.script = [.exit]
            }
        case .seal(let model, _):
            sources.append(.seal(model))
        case .discard, .release, .settle, .finish:
            break
        }
    }

    /// What a worker will do if nobody stops it.
    private mutating func script(_ role: Scheduler.Model.Role) -> [Step] {
        let result: Step = role == .table ? .published : .done
        var script: [Step] = [.started, .awaitInputs, .running, result, .exit]
        if random.once(in: 12) {
            script.remove(at: 2)
        }
        if random.once(in: workload.trouble) {
            let hostile: [Step] = [.started, .running, .published, .done, .failed, .misbehaved, .hang]
            for _ in 0...random.below(3) {
                script.insert(hostile[random.below(hostile.count)], at: random.below(script.count))
            }
        }
        if random.once(in: workload.trouble) {
            // It dies somewhere.
            script.removeLast(random.below(script.count))
            script.append(.exit)
        }
        if random.once(in: workload.trouble) {
            script = Array(script.prefix(while: { $0 != result })) + [.failed, .exit]
        }
        return script
    }

    private mutating func happen(_ source: Source) throws {
        switch source {
        case .zygote(let environment):
            remove(source)
            if random.once(in: workload.trouble) {
                try zygoteFails(environment)
            } else {
                try feed(.zygoteReady(environment: environment))
                if random.once(in: workload.trouble) {
                    sources.append(.zygoteDeath(environment))
                }
            }
        case .zygoteDeath(let environment):
            // It can happen at any time, not only soon.
            if random.once(in: 5) {
                remove(source)
                try zygoteFails(environment)
            }
        case .fork(let worker):
            remove(source)
            if random.once(in: workload.trouble) {
                end(worker)
                try feed(.forkFailed(worker, reason: "no memory"))
            } else {
                processes[worker]!.isForked = true
                try feed(.forked(worker))
            }
        case .worker(let worker):
            try step(worker)
        case .seal(let model):
            remove(source)
            if random.once(in: workload.trouble) {
                try feed(.tableRejected(model: model, reason: "tampered"))
            } else {
                try feed(.tableReady(model: model))
            }
        }
    }

    private mutating func zygoteFails(_ environment: String) throws {
        for (worker, process) in processes where process.environment == environment {
            if process.isForked {
                // Its workers die with it, sooner or later.
                processes[worker]!.isKilled = true
            } else {
                end(worker)
            }
        }
        remove(.zygoteDeath(environment))
        try feed(.zygoteFailed(environment: environment, reason: "killed"))
    }

    private mutating func step(_ worker: Scheduler.WorkerID) throws {
        let step = processes[worker]!.script.removeFirst()
        switch step {
        case .awaitInputs:
            if processes[worker]!.isSent, random.once(in: workload.trouble) {
                try feed(.sendFailed(worker, reason: "no space"))
            }
        case .hang: break
        case .started: try feed(.started(worker))
        case .running: try feed(.running(worker))
        case .published: try feed(.published(worker))
        case .done: try feed(.done(worker))
        case .failed:
            processes[worker]!.hasFailed = true
            try feed(.failed(worker, Scheduler.WorkerError(kind: "user", message: "no")))
        case .misbehaved: try feed(.misbehaved(worker, reason: "noise"))
        case .exit:
            let isKilled = processes[worker]!.isKilled
            end(worker)
            try feed(.exited(worker, Scheduler.Exit(signal: isKilled || random.once(in: 2) ? 9 : nil)))
        }
    }

    private mutating func end(_ worker: Scheduler.WorkerID) {
        processes[worker] = nil
        remove(.fork(worker))
        remove(.worker(worker))
    }

    private mutating func remove(_ source: Source) {
        sources.removeAll { $0 == source }
    }
}
