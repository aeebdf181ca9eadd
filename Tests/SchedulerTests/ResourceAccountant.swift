import Scheduler

/// Keeps its own books of slots and memory, from nothing but events and actions, and finds what breaks the rules.
struct ResourceAccountant {
    typealias TableKey = ResourceManager.TableKey
    typealias ModelKey = ResourceManager.ModelKey
    typealias Way = ResourceManager.Way

    struct Held {
        var table: ResourceManager.TableFacts
        var residentBytes: Int
        var evictedBy: Set<Way> = []
        var failed: Set<Way> = []

        func bytesWhenRead(_ limits: ResourceManager.Limits) -> Int {
            evictedBy.contains(.spill) && !limits.spilledComesBack ? residentBytes : max(residentBytes, table.bytes)
        }

        func hasWay(dropped: Int) -> Bool {
            let ways = table.ways.subtracting(failed).subtracting(evictedBy)
            return !ways.subtracting(dropped > ResourceManager.dropsMax ? [.drop] : []).isEmpty
        }
    }

    struct Granted {
        let inputs: Set<TableKey>
        var reserved: Int
        /// Whether it was given all that was left.
        let hasAll: Bool
        var used = 0
        var handedOver = 0
        var isStalled = false

        var bytes: Int { max(0, max(reserved, used) - handedOver) }
    }

    struct Run {
        let memoryBytesMax: Int?
        let slots: Int
        var asks: [Int: ResourceManager.Ask] = [:]
        /// How many grants others had since it had one and could have used one more.
        var passed = 0
    }

    struct Evicting {
        let way: Way
        var isStale = false
    }

    /// No run waits while others are served more often than this.
    static let passedMax = 100

    let limits: ResourceManager.Limits
    private(set) var tables: [TableKey: Held] = [:]
    private(set) var grants: [ModelKey: Granted] = [:]
    private(set) var runs: [Int: Run] = [:]
    private(set) var evicting: [TableKey: Evicting] = [:]
    /// How often each table was dropped since it was read.
    private var drops: [TableKey: Int] = [:]
    var poolBytes = 0
    private var isShrinking = false
    /// The most often that a run had to wait while others were served.
    private(set) var passedMost = 0

    init(_ limits: ResourceManager.Limits) { self.limits = limits }

    mutating func begin(_ run: Int, memoryBytesMax: Int?, slots: Int) {
        runs[run] = Run(memoryBytesMax: memoryBytesMax, slots: slots)
    }

    mutating func see(_ event: ResourceManager.Event) throws {
        switch event {
        case .runBegan, .measured: break
        case .stalled(let run, let model):
            guard var grant = grants[ModelKey(run, model)] else { return }
            grant.isStalled = true
            if grant.hasAll { grant.reserved = min(grant.reserved, max(2 * grant.used, limits.workerBytesMin)) }
            grants[ModelKey(run, model)] = grant
        case .progressing(let run, let model): grants[ModelKey(run, model)]?.isStalled = false
        case .runEnded(let run):
            runs[run] = nil
            for key in tables.keys where tables[key]!.table.owner == run { tables[key]!.table.owner = nil }
        case .asked(let ask): runs[ask.run]!.asks[ask.model] = ask
        case .withdrawn(let run, let model): runs[run]!.asks[model] = nil
        case .givenBack(let run, let model): grants[ModelKey(run, model)] = nil
        case .used(let run, let model, let bytes): grants[ModelKey(run, model)]!.used = bytes
        case .tableHeld(let key, let table): held(key, table)
        case .tableUsed(let key, let nextUse): tables[key]?.table.nextUse = nextUse
        case .tableGone(let key):
            tables[key] = nil
            evicting[key]?.isStale = true
        case .evicted(let key, let way, let bytes): evicted(key, way, bytes)
        case .evictionFailed(let key, let way):
            if evicting.removeValue(forKey: key)?.isStale == false { tables[key]?.failed.insert(way) }
        case .restored(let key, let bytes):
            tables[key]!.residentBytes = bytes
            tables[key]!.evictedBy = []
        case .pool(let bytes):
            // A report of growth is no answer.
            if bytes <= poolBytes { isShrinking = false }
            poolBytes = bytes
        }
    }

    private mutating func held(_ key: TableKey, _ table: ResourceManager.TableFacts) {
        guard tables[key] == nil else {
            tables[key]!.table = table
            return
        }
        tables[key] = Held(table: table, residentBytes: table.bytes)
        if case .table(let run, let model) = key { grants[ModelKey(run, model)]?.handedOver += table.bytes }
        if let maker = table.maker { grants[maker]?.handedOver += table.bytes }
    }

    private mutating func evicted(_ key: TableKey, _ way: Way, _ bytes: Int) {
        guard evicting.removeValue(forKey: key)?.isStale == false else { return }
        if way == .drop {
            tables[key] = nil
            if case .table = key { drops[key, default: 0] += 1 }
            for run in runs.keys { runs[run]!.asks = runs[run]!.asks.filter { !$0.value.inputs.contains(key) } }
        } else {
            tables[key]!.residentBytes -= bytes
            tables[key]!.evictedBy.insert(way)
        }
    }

    mutating func see(_ action: ResourceManager.Action) throws {
        switch action {
        case .grant(let run, let model, let grant): try granted(ModelKey(run, model), grant)
        case .refuse(let run, let model, _):
            guard runs[run]?.asks.removeValue(forKey: model) != nil else {
                throw Violation(description: "a model that doesn't ask was refused")
            }
        case .shrinkPool(let bytes):
            if bytes >= poolBytes || bytes < 0 { throw Violation(description: "the pool can't shrink to \(bytes)") }
            isShrinking = true
        case .evict(let key, let way): try evict(key, way)
        }
    }

    private mutating func evict(_ key: TableKey, _ way: Way) throws {
        guard let held = tables[key] else { throw Violation(description: "\(key) isn't there and is evicted") }
        if held.residentBytes == 0 { throw Violation(description: "nothing of \(key) is in memory: why evict it?") }
        if evicting[key] != nil { throw Violation(description: "\(key) is evicted already") }
        if grants.values.contains(where: { $0.inputs.contains(key) }) {
            throw Violation(description: "\(key) is read and is evicted")
        }
        if !held.table.ways.contains(way) { throw Violation(description: "\(key) can't be evicted by \(way)") }
        if held.failed.contains(way) { throw Violation(description: "\(way) of \(key) is tried again") }
        evicting[key] = Evicting(way: way)
    }

    private mutating func granted(_ key: ModelKey, _ grant: Scheduler.Grant) throws {
        guard let ask = runs[key.run]?.asks.removeValue(forKey: key.model) else {
            throw Violation(description: "\(key) doesn't ask and is granted")
        }
        for input in ask.inputs where tables[input] == nil || evicting[input] != nil {
            throw Violation(description: "\(key) is granted without \(input)")
        }
        for input in ask.inputs { drops[input] = nil }
        grants[key] = Granted(
            inputs: Set(ask.inputs), reserved: grant.expectedBytes,
            hasAll: ask.isRetry || grant.expectedBytes < min(ask.expectedBytes, ask.memoryBytesMax ?? Int.max))
        if grants.count > limits.slots { try checkLentSlot(key) }
        if grants.keys.count(where: { $0.run == key.run }) > runs[key.run]!.slots {
            throw Violation(description: "run \(key.run) uses more slots than it may")
        }
        if ask.isRetry, grants.keys.contains(where: { $0.run == key.run && $0 != key }) {
            throw Violation(description: "a retry isn't alone")
        }
        try checkLimits(key, ask, grant)
        for run in runs.keys where run != key.run && !runs[run]!.asks.isEmpty {
            let used = grants.keys.count { $0.run == run }
            // More than there are slots are granted to those who have none, and to nobody else.
            if used > 0, grants.count > limits.slots { continue }
            runs[run]!.passed += used < runs[run]!.slots ? 1 : 0
            passedMost = max(passedMost, runs[run]!.passed)
            if runs[run]!.passed > Self.passedMax { throw Violation(description: "run \(run) starves") }
        }
        runs[key.run]!.passed = 0
    }

    /// A slot more than there are is for a run that has none, while some models don't get on.
    private func checkLentSlot(_ key: ModelKey) throws {
        if grants.keys.contains(where: { $0.run == key.run && $0 != key }) {
            throw Violation(description: "run \(key.run) has a slot and is lent one")
        }
        if grants.values.count(where: { !$0.isStalled }) > limits.slots {
            throw Violation(description: "more models get on than there are slots")
        }
    }

    /// When nothing happens any more but for models that have stopped for ever: no run lacks a slot and nothing else.
    func checkNobodyWaitsForASlot() throws {
        for (number, run) in runs where run.slots > 0 && !grants.keys.contains(where: { $0.run == number }) {
            for ask in run.asks.values where !ask.isRetry {
                let asked = min(ask.expectedBytes, ask.memoryBytesMax ?? Int.max)
                let missing = Set(ask.inputs).reduce(0) {
                    $0 + tables[$1]!.bytesWhenRead(limits) - tables[$1]!.residentBytes
                }
                let fitsRun = run.memoryBytesMax.map { charged(to: number) + asked + missing <= $0 } ?? true
                let fitsEngine = limits.memoryBytesMax.map { charged(to: nil) + asked + missing <= $0 } ?? true
                if fitsRun, fitsEngine {
                    throw Violation(description: "run \(number) waits for ever, and model \(ask.model) could run")
                }
            }
        }
    }

    /// A grant is given only if it fits, and less than was asked for only if it is all that is left.
    private func checkLimits(_ key: ModelKey, _ ask: ResourceManager.Ask, _ grant: Scheduler.Grant) throws {
        var isAllThatIsLeft = false
        if let most = runs[key.run]!.memoryBytesMax {
            let charged = charged(to: key.run)
            if charged > most { throw Violation(description: "run \(key.run) has \(charged) of \(most)") }
            isAllThatIsLeft = charged == most
        }
        if let most = limits.memoryBytesMax {
            let charged = charged(to: nil)
            if charged > most { throw Violation(description: "the engine has \(charged) of \(most)") }
            if charged == most { isAllThatIsLeft = true }
        }
        let asked = min(ask.expectedBytes, ask.memoryBytesMax ?? Int.max)
        if grant.expectedBytes < asked, !isAllThatIsLeft {
            throw Violation(description: "\(key) got \(grant.expectedBytes) of \(asked), and there is more")
        }
        if let most = grant.memoryBytesMax, most < grant.expectedBytes {
            throw Violation(description: "the limit of \(key) is \(most), below its \(grant.expectedBytes)")
        }
    }

    /// The bytes that are reserved and held.
    func charged(to run: Int?) -> Int {
        let read = grants.values.reduce(into: Set<TableKey>()) { $0.formUnion($1.inputs) }
        var bytes = run == nil ? poolBytes : 0
        for (key, held) in tables where run == nil || held.table.owner == run {
            bytes += read.contains(key) ? held.bytesWhenRead(limits) : held.residentBytes
        }
        for (key, grant) in grants where run == nil || key.run == run { bytes += grant.bytes }
        return bytes
    }

    /// The bytes that a model could have if all else had ended, and every evictable table were evicted; nil if nothing limits it.
    func possibleBytes(_ run: Int, _ inputs: [Int], _ own: Int?) -> Int? {
        let inputs = Set(inputs.map { TableKey.table(run: run, model: $0) })
        func rest(_ most: Int, _ run: Int?) -> Int {
            tables.reduce(most) { rest, entry in
                guard run == nil || entry.value.table.owner == run else { return rest }
                if inputs.contains(entry.key) { return rest - entry.value.bytesWhenRead(limits) }
                return entry.value.hasWay(dropped: drops[entry.key] ?? 0) ? rest : rest - entry.value.residentBytes
            }
        }
        let byRun = runs[run]!.memoryBytesMax.map { rest($0, run) }
        let byEngine = limits.memoryBytesMax.map { rest($0, nil) }
        return [byRun, byEngine, own].compactMap(\.self).min()
    }

    /// Checks the conditions that hold when all actions are given.
    func checkRest() throws {
        guard evicting.isEmpty, !isShrinking, grants.isEmpty else { return }
        // A run that doesn't ask is about to, or to end.
        if !runs.isEmpty, runs.values.allSatisfy({ !$0.asks.isEmpty && $0.slots > 0 }) {
            throw Violation(description: "a model asks, nothing runs, nothing is on its way, and it isn't granted")
        }
    }
}
