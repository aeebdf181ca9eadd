import Scheduler
import SeededNumbers

/// Plays the engine, its zygotes and its workers, hostile ones among them, in random order.
final class World {
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
        /// The decision about the model's ask for memory.
        case decision(Int)
        /// The decision about the model arrives at the run.
        case answer(Int)
    }

    /// What happened so far, so that one can see that enough did.
    struct Counts {
        var drops = 0
        var refusals = 0
        var lateGrants = 0
        var reruns = 0
        var callOffs = 0
        var retries = 0
        var finds = 0
        var moves = 0
        var handOvers = 0

        static func += (sum: inout Counts, other: Counts) {
            sum.drops += other.drops
            sum.refusals += other.refusals
            sum.lateGrants += other.lateGrants
            sum.reruns += other.reruns
            sum.callOffs += other.callOffs
            sum.retries += other.retries
            sum.finds += other.finds
            sum.moves += other.moves
            sum.handOvers += other.handOvers
        }

        var least: Int { min(drops, refusals, lateGrants, reruns, retries, finds, moves, handOvers, 4 * callOffs) }
    }

    private enum Step {
        case started, awaitInputs, running, published, done, failed, lackMemory, misbehaved, hang, exit, killedForMemory
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
    /// Slots that are there now.
    private var slots: Int
    /// Grants that were decided and not given back.
    private var slotsUsed = 0
    private var grantCount = 0
    private(set) var counts = Counts()
    /// The events and actions so far, for a failure's message.
    private(set) var trace: [Entry] = []

    init(seed: UInt64) {
        random = RandomSource(seed: seed)
        workload = Workload(random: &random)
        oracle = Oracle(workload)
        scheduler = Scheduler(
            graph: workload.graph, workersAhead: workload.workersAhead, failurePolicy: workload.failurePolicy)
        slots = workload.slots
    }

    /// Runs until the scheduler finishes. Throws at the first violation.
    func run() throws -> Scheduler.Outcome {
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
                slots = random.below(workload.slots + 3)
            }
            if random.once(in: workload.drops) {
                try dropSomething()
            }
            if random.once(in: workload.finds) {
                try findSomething()
                continue
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
        counts.callOffs = oracle.callOffCount
        counts.reruns = oracle.rerunCount
        counts.moves = oracle.moveCount
        counts.handOvers = oracle.handOverCount
        counts.retries = oracle.retryCount
        // Answers that an engine may still have in its queue.
        for case .answer(let model) in sources {
            try feed(.granted(model: model, Scheduler.Grant(memoryBytesMax: nil)))
            try feed(.refused(model: model, reason: "late"))
        }
        try feed(.cancel)
        for environment in workload.graph.environments {
            try feed(.zygoteFailed(environment: environment, reason: "late"))
        }
        for worker in processes.keys.sorted() {
            try feed(.timedOut(worker))
        }
        return oracle.outcome!
    }

    private func feed(_ event: Scheduler.Event) throws {
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
        try oracle.checkRest(scheduler)
        if scheduler.isFinished != (oracle.outcome != nil) {
            throw Violation(description: "isFinished is wrong")
        }
    }

    private func pick(_ ready: [Source]) -> Source? {
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
        if case .decision = source {
            return slotsUsed < slots
        }
        guard case .worker(let worker) = source, let process = processes[worker] else {
            return true
        }
        switch process.script.first! {
        case .awaitInputs: return process.isSent || process.isKilled
        case .hang: return process.isKilled
        case .exit, .killedForMemory: return process.isForked
        default: return true
        }
    }

    /// Nothing happens by itself. That is right only if a worker hangs or stays after it said that it failed: then a
    /// timer fires. Or slots are missing.
    private func unblock() throws {
        if slots < workload.slots {
            slots = workload.slots
            return
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

    private func carryOut(_ action: Scheduler.Action) {
        switch action {
        case .startZygote(let environment):
            sources.append(.zygote(environment))
        case .ask(let model, _, _):
            sources.append(.decision(model))
        case .withdraw(let model):
            remove(.decision(model))
        case .giveBack:
            slotsUsed -= 1
        case .fork(let model, let worker):
            let model = workload.graph.models[model]
            processes[worker] = Process(environment: model.environment, script: script(model.role))
            sources.append(.fork(worker))
            sources.append(.worker(worker))
        case .move(let worker, let model):
            let result: Step = workload.graph.models[model].role == .table ? .published : .done
            processes[worker]!.script = processes[worker]!.script.map { $0 == .published || $0 == .done ? result : $0 }
        case .send(_, let worker, _):
            processes[worker]!.isSent = true
        case .kill(let worker):
            processes[worker]!.isKilled = true
            // Messages that it had sent before still arrive.
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
    private func script(_ role: Scheduler.Model.Role) -> [Step] {
        let result: Step = role == .table ? .published : .done
        var script: [Step] = [.started, .awaitInputs, .running, result, .exit]
        if random.once(in: 12) {
            script.remove(at: 2)
        }
        if random.once(in: workload.trouble) {
            let hostile: [Step] = [.started, .running, .published, .done, .failed, .lackMemory, .misbehaved, .hang]
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
        if random.once(in: workload.shortage) {
            script.removeLast(1 + random.below(script.count))
            script += random.once(in: 2) ? [.lackMemory, .exit] : [.killedForMemory]
        }
        return script
    }

    private func happen(_ source: Source) throws {
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
        case .decision(let model):
            remove(source)
            slotsUsed += 1
            sources.append(.answer(model))
            if workload.isAnsweredAtOnce {
                try answer(model)
            }
        case .answer(let model): try answer(model)
        }
    }

    private func answer(_ model: Int) throws {
        sources.remove(at: sources.firstIndex(of: .answer(model))!)
        if random.once(in: workload.trouble) {
            slotsUsed -= 1
            counts.refusals += 1
            return try feed(.refused(model: model, reason: "too big"))
        }
        grantCount += 1
        if !scheduler.isAsking(model) {
            counts.lateGrants += 1
        }
        try feed(.granted(model: model, Scheduler.Grant(memoryBytesMax: nil, expectedBytes: grantCount)))
    }

    /// A table for which a model asks turns up, whether it is granted already or not.
    private func findSomething() throws {
        let models = workload.graph.models.indices.filter {
            workload.graph.models[$0].mayBeFound && scheduler.isAsking($0)
        }
        if !models.isEmpty {
            counts.finds += 1
            try feed(.tableFound(model: models[random.below(models.count)]))
        }
    }

    /// Drops a table if that is allowed, whoever may still want it.
    private func dropSomething() throws {
        guard !workload.graph.models.isEmpty, counts.drops < workload.dropsMax else {
            return
        }
        let count = workload.graph.models.count
        let first = random.below(count)
        try oracle.checkQueries(scheduler, first)
        var model = first
        while !scheduler.canDrop(model) {
            model = (model + 1) % count
            if model == first {
                return
            }
        }
        counts.drops += 1
        try oracle.checkQueries(scheduler, model)
        try feed(.dropped(model: model))
    }

    private func zygoteFails(_ environment: String) throws {
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

    private func step(_ worker: Scheduler.WorkerID) throws {
        if random.once(in: workload.handOvers), scheduler.mayHandOver(worker) {
            return try feed(.handedOver(worker))
        }
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
        case .lackMemory:
            processes[worker]!.hasFailed = true
            try feed(.failed(worker, memoryError))
        case .misbehaved: try feed(.misbehaved(worker, reason: "noise"))
        case .exit:
            let isKilled = processes[worker]!.isKilled
            end(worker)
            try feed(.exited(worker, Scheduler.Exit(signal: isKilled || random.once(in: 2) ? 9 : nil)))
        case .killedForMemory:
            end(worker)
            try feed(.exited(worker, Scheduler.Exit(signal: 9, isOutOfMemory: true)))
        }
    }

    private func end(_ worker: Scheduler.WorkerID) {
        processes[worker] = nil
        remove(.fork(worker))
        remove(.worker(worker))
    }

    private func remove(_ source: Source) {
        sources.removeAll { $0 == source }
    }
}
