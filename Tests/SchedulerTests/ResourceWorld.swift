import Scheduler
import SeededNumbers

/// Plays an engine with several runs: its clock, its disk, its kernel that kills what passes a limit, and its workers.
struct ResourceWorld {
    typealias TableKey = ResourceManager.TableKey
    typealias ModelKey = ResourceManager.ModelKey
    typealias Way = ResourceManager.Way

    /// The outcome of it all.
    struct Result: Equatable {
        /// When the last run ended.
        var seconds = 0.0
        var grants = 0
        var kills = 0
        var failedRuns = 0
        var evictions: [Way: Int] = [:]
        /// Models that were run again because their tables had been dropped.
        var reruns = 0
        /// Runs that were cancelled in the end, as a model of theirs had stopped for ever.
        var hungRuns = 0
    }

    /// A line of the trace.
    enum Entry: CustomStringConvertible {
        case event(Double, ResourceManager.Event)
        case action(ResourceManager.Action)

        var description: String {
            switch self {
            case .event(let time, let event): "\(time): \(event)"
            case .action(let action): "    \(action)"
            }
        }
    }

    /// What happens at some time.
    enum Moment {
        case begin(run: Int)
        case cancel(run: Int)
        case fail(run: Int)
        case step(ModelKey, worker: Int)
        case evicted(TableKey, Way)
        case poolShrunk(Int)
        /// A worker that does nothing is seen to; it gets on again.
        case stalled(ModelKey, worker: Int)
        case resumed(ModelKey, worker: Int)
    }

    struct Worker {
        let number: Int
        let grant: Scheduler.Grant
        /// The most that it could have had when it was granted.
        let possibleBytes: Int?
        /// How far it has come, in steps.
        var step = 0
        var bytes = 0
        /// What it read, and makes of it.
        var content = 0
        var hasStalled = false
    }

    let workload: ResourceWorkload
    /// For whoever knows better: the ways in which each model's table may go.
    var ways: [[Set<Way>]]?
    var manager: ResourceManager
    var random: RandomSource
    var flows: [ResourceFlow]
    var isRunning: [Bool]
    var accountant: ResourceAccountant
    var workers: [ModelKey: Worker] = [:]
    /// What each table holds, to see that every reader gets what was made.
    var contents: [TableKey: Int] = [:]
    let expectedContents: [[Int]]
    var moments = Moments<Moment>()
    var now = 0.0
    /// Until when the disk is busy.
    var diskUntil = 0.0
    var workerCount = 0
    var pieceCount = 0
    var result = Result()
    var trace: [Entry] = []
    private let isTraced: Bool

    init(
        _ workload: ResourceWorkload, seed: UInt64 = 0, policy: ResourceManager.Policy = .adaptive,
        isTraced: Bool = false
    ) {
        self.workload = workload
        self.isTraced = isTraced
        manager = ResourceManager(limits: workload.limits, policy: policy)
        random = RandomSource(seed: seed)
        flows = workload.runs.map { ResourceFlow($0) }
        isRunning = workload.runs.map { _ in false }
        expectedContents = workload.runs.indices.map { Self.expectedContents(workload.runs[$0].models, $0) }
        accountant = ResourceAccountant(workload.limits)
    }

    /// What the tables of a run have to hold, whatever happens on the way.
    private static func expectedContents(_ models: [ResourceWorkload.Model], _ run: Int) -> [Int] {
        var contents: [Int] = []
        for model in models {
            contents.append(
                model.inputs.reduce(run &* 31 &+ contents.count) { $0 &* 1_000_003 &+ contents[$1] })
        }
        return contents
    }

    /// Runs until all runs are over. Throws at the first violation.
    mutating func run() throws -> Result {
        try feed([.measured(workload.rates)])
        for (number, cache) in workload.caches.enumerated() {
            pieceCount += 1
            try feed([hold(.cache(number), piece(cache.bytes, cache.seconds, maker: nil))])
        }
        for (run, state) in workload.runs.enumerated() {
            moments.add(.begin(run: run), at: state.beginsAt)
            if random.once(in: workload.cancels) {
                moments.add(.cancel(run: run), at: state.beginsAt + Double(random.below(40)) / 4)
            }
        }
        repeat {
            while let (time, moment) = moments.next() {
                now = time
                try happen(moment)
            }
        } while try cancelHungRun()
        if let run = flows.indices.first(where: { isRunning[$0] }) {
            throw Violation(description: "deadlock: nothing is outstanding and run \(run) isn't over")
        }
        return result
    }

    private mutating func happen(_ moment: Moment) throws {
        switch moment {
        case .begin(let run):
            isRunning[run] = true
            let state = workload.runs[run]
            accountant.begin(run, memoryBytesMax: state.memoryBytesMax, slots: state.slots)
            try feed(
                [
                    .runBegan(
                        run, priority: state.isBatch ? 1 : 5, slots: state.slots, memoryBytesMax: state.memoryBytesMax)
                ]
                    + update(run))
        case .cancel(let run), .fail(let run):
            if isRunning[run] { try feed(stop(run)) }
        case .step(let key, let number):
            // Its worker may have been killed.
            if workers[key]?.number == number { try step(key) }
        case .stalled(let key, let number):
            if workers[key]?.number == number { try feed([.stalled(key.run, model: key.model)]) }
        case .resumed(let key, let number):
            guard workers[key]?.number == number else { return }
            try feed([.progressing(key.run, model: key.model)])
            if workers[key]?.number == number { try step(key) }
        case .evicted(let key, let way): try evicted(key, way)
        case .poolShrunk(let bytes):
            accountant.poolBytes = min(accountant.poolBytes, bytes)
            try feed([.pool(bytes: accountant.poolBytes)])
        }
    }

    mutating func feed(_ events: [ResourceManager.Event]) throws {
        guard !events.isEmpty else { return }
        if isTraced { trace += events.map { .event(now, $0) } }
        for event in events { try accountant.see(event) }
        for action in manager.handle(events) {
            if isTraced { trace.append(.action(action)) }
            try accountant.see(action)
            try carryOut(action)
        }
        try accountant.checkRest()
    }

    private mutating func carryOut(_ action: ResourceManager.Action) throws {
        switch action {
        case .grant(let run, let model, let grant):
            flows[run].phase[model] = .granted
            result.grants += 1
            if flows[run].isDone[model] { result.reruns += 1 }
            start(ModelKey(run, model), grant)
        case .evict(let key, let way):
            result.evictions[way, default: 0] += 1
            let bytes = accountant.tables[key]!.residentBytes
            switch way {
            case .drop: moments.add(.evicted(key, way), at: now)
            case .spill: moments.add(.evicted(key, way), at: moved(bytes, workload.rates.spillBytesPerSecond))
            case .swap: moments.add(.evicted(key, way), at: moved(bytes, workload.rates.swapOutBytesPerSecond))
            case .limit: moments.add(.evicted(key, way), at: moved(bytes, workload.rates.limitBytesPerSecond))
            }
        case .shrinkPool(let bytes): moments.add(.poolShrunk(bytes), at: now)
        case .refuse(let run, let model, let refusal):
            try checkRefusal(run, model, refusal)
            flows[run].phase[model] = .idle
            moments.add(.fail(run: run), at: now)
        }
    }

    /// When the disk will have moved so much.
    mutating func moved(_ bytes: Int, _ bytesPerSecond: Double) -> Double {
        diskUntil = max(diskUntil, now) + Double(bytes) / bytesPerSecond
        return diskUntil
    }

    /// Drops tables that nobody needs any more. This comes before the reports about tables, because the time to make a table
    /// again depends on it.
    mutating func release(_ run: Int) -> [ResourceManager.Event] {
        guard isRunning[run] else { return [] }
        return flows[run].needless(flows[run].wanted()).map { model in
            flows[run].table[model] = .gone
            contents[.table(run: run, model: model)] = nil
            return .tableGone(.table(run: run, model: model))
        }
    }

    /// Lets a run go on after something has changed.
    mutating func update(_ run: Int) -> [ResourceManager.Event] {
        guard isRunning[run], !flows[run].hasFailed else { return [] }
        if flows[run].isOver { return end(run) }
        var events = release(run)
        let wanted = flows[run].wanted()
        for model in workload.runs[run].models.indices {
            if flows[run].table[model] == .held { events += figures(run, model, wanted) }
            let isReady = wanted[model] && flows[run].isReady(model)
            switch flows[run].phase[model] {
            case .idle where isReady:
                flows[run].phase[model] = .asking
                events.append(.asked(ask(run, model)))
            case .asking where !isReady:
                flows[run].phase[model] = .idle
                events.append(.withdrawn(run, model: model))
            default: break
            }
        }
        return events
    }

    private func ask(_ run: Int, _ model: Int) -> ResourceManager.Ask {
        let state = workload.runs[run].models[model]
        return ResourceManager.Ask(
            run: run, model: model, rank: model, expectedBytes: state.expectedBytes,
            memoryBytesMax: state.memoryBytesMax, inputs: state.inputs.map { .table(run: run, model: $0) },
            isRetry: flows[run].isRetry[model], expectedSeconds: workload.tellsSeconds ? state.seconds : nil)
    }

    /// Reports a table's figures, if any has changed.
    private func figures(_ run: Int, _ model: Int, _ wanted: [Bool]) -> [ResourceManager.Event] {
        let key = TableKey.table(run: run, model: model)
        let table = table(run, model, wanted)
        // One that was just made has been told with all the rest.
        guard let known = accountant.tables[key]?.table else { return [] }
        var other = known
        other.nextUse = table.nextUse
        if known == table { return [] }
        return other == table ? [.tableUsed(key, nextUse: table.nextUse)] : [.tableHeld(key, table)]
    }

    func table(_ run: Int, _ model: Int, _ wanted: [Bool]) -> ResourceManager.TableFacts {
        let state = workload.runs[run].models[model]
        let canDrop = state.canRollBack && !flows[run].isFinal(model)
        let ways = ways?[run][model] ?? workload.ways
        return ResourceManager.TableFacts(
            bytes: state.tableBytes, recomputeSeconds: canDrop ? flows[run].recomputeSeconds(model) : nil,
            ways: canDrop ? ways : ways.subtracting([.drop]),
            nextUse: flows[run].nextUse(model, wanted), owner: run)
    }

    func piece(_ bytes: Int, _ seconds: Double, maker: ModelKey?) -> ResourceManager.TableFacts {
        ResourceManager.TableFacts(bytes: bytes, recomputeSeconds: seconds, ways: [.drop], maker: maker)
    }

    /// The event that says so.
    func hold(_ key: TableKey, _ table: ResourceManager.TableFacts) -> ResourceManager.Event { .tableHeld(key, table) }

    private mutating func end(_ run: Int) -> [ResourceManager.Event] {
        isRunning[run] = false
        result.seconds = now
        return leavings(run) + [.runEnded(run)]
    }

    /// Its tables go, but sometimes the results stay.
    private mutating func leavings(_ run: Int) -> [ResourceManager.Event] {
        let keepsResults = workload.trouble > 0 && random.once(in: 4)
        var events: [ResourceManager.Event] = []
        for model in flows[run].table.indices where flows[run].table[model] == .held {
            if keepsResults, flows[run].isFinal(model) { continue }
            contents[.table(run: run, model: model)] = nil
            events.append(.tableGone(.table(run: run, model: model)))
        }
        return events
    }

    /// A run is cancelled or has failed: all its workers are killed.
    mutating func stop(_ run: Int) -> [ResourceManager.Event] {
        flows[run].hasFailed = true
        result.failedRuns += 1
        var events: [ResourceManager.Event] = []
        for model in flows[run].phase.indices {
            switch flows[run].phase[model] {
            case .granted:
                workers[ModelKey(run, model)] = nil
                events.append(.givenBack(run, model: model))
            case .asking: events.append(.withdrawn(run, model: model))
            case .idle: break
            }
            flows[run].phase[model] = .idle
        }
        return events + end(run)
    }

    private mutating func evicted(_ key: TableKey, _ way: Way) throws {
        guard let held = accountant.tables[key], accountant.evicting[key]?.isStale == false else {
            return try feed([random.once(in: 2) ? .evicted(key, way, bytesFreed: 0) : .evictionFailed(key, way)])
        }
        if random.once(in: workload.trouble) { return try feed([.evictionFailed(key, way)]) }
        var freed = held.residentBytes
        if way == .swap || way == .limit, random.once(in: workload.trouble) { freed = freed * random.below(4) / 4 }
        guard way == .drop, case .table(let run, let model) = key, isRunning[run] else {
            return try feed([.evicted(key, way, bytesFreed: freed)])
        }
        flows[run].table[model] = .gone
        contents[key] = nil
        try feed([.evicted(key, way, bytesFreed: freed)] + update(run))
    }
}

/// What will happen, in order: at equal times, what was added first.
struct Moments<Moment> {
    private var all: [(time: Double, moment: Moment)] = []

    mutating func add(_ moment: Moment, at time: Double) {
        let index = all.firstIndex { $0.time <= time } ?? all.count
        all.insert((time, moment), at: index)
    }

    mutating func next() -> (Double, Moment)? {
        all.popLast().map { ($0.time, $0.moment) }
    }
}
