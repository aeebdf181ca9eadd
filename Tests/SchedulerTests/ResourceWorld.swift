import Scheduler

/// Plays an engine with several runs: its clock, its disk, its kernel that kills what passes a limit, and its workers.
struct ResourceWorld {
    typealias TableKey = ResourceManager.TableKey
    typealias ModelKey = ResourceManager.ModelKey
    typealias Way = ResourceManager.Way

    /// What became of it all.
    struct Result: Equatable {
        /// When the last run ended.
        var seconds = 0.0
        var grants = 0
        var kills = 0
        var failedRuns = 0
        var evictions: [Way: Int] = [:]
        /// Models that were run again because their tables had been dropped.
        var reruns = 0
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
    }

    struct Worker {
        let number: Int
        let grant: Scheduler.Grant
        /// What it could have had at most when it was granted.
        let possibleBytes: Int?
        /// How far it has come, in steps.
        var step = 0
        var bytes = 0
        /// What it read, and makes of it.
        var content = 0
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
    private let expectedContents: [[Int]]
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
        while let (time, moment) = moments.next() {
            now = time
            try happen(moment)
        }
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
                [.runBegan(run, isBatch: state.isBatch, slots: state.slots, memoryBytesMax: state.memoryBytesMax)]
                    + update(run))
        case .cancel(let run), .fail(let run):
            if isRunning[run] { try feed(stop(run)) }
        case .step(let key, let number):
            // Its worker may have been killed.
            if workers[key]?.number == number { try step(key) }
        case .evicted(let key, let way): try evicted(key, way)
        case .poolShrunk(let bytes):
            accountant.poolBytes = min(accountant.poolBytes, bytes)
            try feed([.pool(bytes: accountant.poolBytes)])
        }
    }

    // MARK: The engine

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
    private mutating func moved(_ bytes: Int, _ bytesPerSecond: Double) -> Double {
        diskUntil = max(diskUntil, now) + Double(bytes) / bytesPerSecond
        return diskUntil
    }

    /// Drops what nobody needs any more. Comes before what tells of tables: what it takes to make them again depends on it.
    private mutating func release(_ run: Int) -> [ResourceManager.Event] {
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

    /// Tells what has changed about a table, if anything.
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

    func table(_ run: Int, _ model: Int, _ wanted: [Bool]) -> ResourceManager.Table {
        let state = workload.runs[run].models[model]
        let canDrop = state.canRollBack && !flows[run].isFinal(model)
        let ways = ways?[run][model] ?? workload.ways
        return ResourceManager.Table(
            bytes: state.tableBytes, recomputeSeconds: canDrop ? flows[run].recomputeSeconds(model) : nil,
            ways: canDrop ? ways : ways.subtracting([.drop]),
            nextUse: flows[run].nextUse(model, wanted), owner: run)
    }

    func piece(_ bytes: Int, _ seconds: Double, maker: ModelKey?) -> ResourceManager.Table {
        ResourceManager.Table(bytes: bytes, recomputeSeconds: seconds, ways: [.drop], maker: maker)
    }

    /// The event that says so.
    func hold(_ key: TableKey, _ table: ResourceManager.Table) -> ResourceManager.Event { .tableHeld(key, table) }

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
    private mutating func stop(_ run: Int) -> [ResourceManager.Event] {
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

    // MARK: Workers

    private mutating func start(_ key: ModelKey, _ grant: Scheduler.Grant) {
        workerCount += 1
        let model = workload.runs[key.run].models[key.model]
        workers[key] = Worker(
            number: workerCount, grant: grant,
            possibleBytes: accountant.possibleBytes(key.run, model.inputs, model.memoryBytesMax))
        // What was evicted has to be read back first.
        var ready = now
        for input in Set(model.inputs).sorted() {
            let held = accountant.tables[.table(run: key.run, model: input)]!
            let missing = held.table.bytes - held.residentBytes
            guard missing > 0 else { continue }
            let isSpilled = held.evictedBy.contains(.spill)
            ready = moved(
                missing, isSpilled ? workload.rates.restoreBytesPerSecond : workload.rates.swapInBytesPerSecond)
        }
        moments.add(.step(key, worker: workerCount), at: ready)
    }

    /// A worker reads its inputs, needs more and more memory in three steps, and then ends.
    private mutating func step(_ key: ModelKey) throws {
        let model = workload.runs[key.run].models[key.model]
        let step = workers[key]!.step
        workers[key]!.step += 1
        switch step {
        case 0:
            try readInputs(key)
        case 1...3:
            workers[key]!.bytes = model.peakBytes * step / 3
            try enforce(key)
            guard workers[key] != nil else { return }
            try feed([.used(key.run, model: key.model, bytes: workers[key]!.bytes)])
        default:
            return try finish(key)
        }
        moments.add(.step(key, worker: workers[key]!.number), at: now + model.seconds / 4)
    }

    private mutating func readInputs(_ key: ModelKey) throws {
        var content = key.run &* 31 &+ key.model
        var events: [ResourceManager.Event] = []
        for input in workload.runs[key.run].models[key.model].inputs {
            let table = TableKey.table(run: key.run, model: input)
            guard let read = contents[table] else {
                throw Violation(description: "\(key) reads \(table), which isn't there")
            }
            content = content &* 1_000_003 &+ read
            let held = accountant.tables[table]!
            if held.residentBytes < held.table.bytes, held.bytesWhenRead(workload.limits) == held.table.bytes {
                events.append(.restored(table, bytes: held.table.bytes))
            }
        }
        workers[key]!.content = content
        try feed(events)
    }

    private mutating func finish(_ key: ModelKey) throws {
        let model = workload.runs[key.run].models[key.model]
        let table = TableKey.table(run: key.run, model: key.model)
        contents[table] = workers[key]!.content
        guard workers[key]!.content == expectedContents[key.run][key.model] else {
            throw Violation(description: "\(table) has another content than it should have")
        }
        workers[key] = nil
        flows[key.run].phase[key.model] = .idle
        flows[key.run].isDone[key.model] = true
        flows[key.run].table[key.model] = .held
        var events = release(key.run)
        if flows[key.run].table[key.model] == .held {
            events.append(hold(table, self.table(key.run, key.model, flows[key.run].wanted())))
        }
        if model.pieceBytes > 0 {
            events.append(hold(.cache(pieceCount), piece(model.pieceBytes, model.seconds / 2, maker: key)))
            pieceCount += 1
        }
        let left = model.peakBytes - model.tableBytes - model.pieceBytes
        if workload.pooledPercent > 0 {
            events.append(.pool(bytes: accountant.poolBytes + left * workload.pooledPercent / 100))
        }
        events.append(.givenBack(key.run, model: key.model))
        try feed(events + update(key.run))
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

    // MARK: The kernel

    /// Kills what passes a limit: the worker its own, or the largest one of a group whose limit is passed.
    private mutating func enforce(_ key: ModelKey) throws {
        if let most = workers[key]!.grant.memoryBytesMax, workers[key]!.bytes > most { return try kill(key) }
        if let most = workload.runs[key.run].memoryBytesMax {
            while residentBytes(of: key.run) > most {
                guard let victim = largest(in: key.run) else { break }
                try kill(victim)
            }
        }
        if let most = workload.limits.memoryBytesMax {
            while residentBytes(of: nil) > most {
                guard let victim = largest(in: nil) else { break }
                try kill(victim)
            }
        }
    }

    private func largest(in run: Int?) -> ModelKey? {
        workers.filter { run == nil || $0.key.run == run }
            .max { ($0.value.bytes, $0.value.number) < ($1.value.bytes, $1.value.number) }?.key
    }

    /// What is in memory in fact.
    private func residentBytes(of run: Int?) -> Int {
        let tables = accountant.tables.values.reduce(0) {
            run == nil || $1.table.owner == run ? $0 + $1.residentBytes : $0
        }
        let used = workers.reduce(0) { run == nil || $1.key.run == run ? $0 + $1.value.bytes : $0 }
        return tables + used + (run == nil ? accountant.poolBytes : 0)
    }

    private mutating func kill(_ key: ModelKey) throws {
        result.kills += 1
        let possible = workers[key]!.possibleBytes
        workers[key] = nil
        flows[key.run].phase[key.model] = .idle
        if flows[key.run].isRetry[key.model] {
            try checkFailure(key, possible)
            return try feed([.givenBack(key.run, model: key.model)] + stop(key.run))
        }
        flows[key.run].isRetry[key.model] = true
        try feed([.givenBack(key.run, model: key.model)] + update(key.run))
    }

    /// A model may fail for memory only if what it needs doesn't fit when it is alone.
    private func checkFailure(_ key: ModelKey, _ most: Int?) throws {
        let model = workload.runs[key.run].models[key.model]
        guard let most else {
            throw Violation(description: "\(key) failed for memory, which nothing limits")
        }
        if model.peakBytes <= most {
            throw Violation(description: "\(key) failed for memory: it needs \(model.peakBytes) and could have \(most)")
        }
    }

    private func checkRefusal(_ run: Int, _ model: Int, _ refusal: ResourceManager.Refusal) throws {
        let inputs = workload.runs[run].models[model].inputs
        let most = accountant.possibleBytes(run, inputs, workload.runs[run].models[model].memoryBytesMax)
        if most ?? Int.max >= workload.limits.workerBytesMin {
            throw Violation(description: "model \(model) of run \(run) was refused, and could have \(most ?? Int.max)")
        }
        if refusal.inputBytes + refusal.fixedBytes + workload.limits.workerBytesMin <= refusal.limitBytes {
            throw Violation(description: "the figures of a refusal don't say why: \(refusal)")
        }
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
