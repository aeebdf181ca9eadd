/// Eviction: which tables give way.
extension ResourceManager {
    /// How many bytes are to be freed under each limit.
    struct Lack: Sendable {
        var run: Int
        var engine: Int
    }

    /// One table, and the way it goes.
    struct Victim: Sendable {
        let key: TableKey
        let way: Way
        let bytes: Int
        /// The cost of the eviction, in seconds.
        let seconds: Double
        /// The order of victims: the lowest weight goes first.
        let weight: Double

        var total: Double { weight * Double(bytes) }
    }

    /// The evictions that make room for one ask.
    struct Room: Sendable {
        var victims: [Victim] = []
        /// The size that the pool is to shrink to, nil if it stays as it is.
        var poolBytesMax: Int?

        var seconds: Double { victims.reduce(0) { $0 + $1.seconds } }
    }

    /// The evictions that free at least this much, nil if there are none. The pool goes first, because its segments hold no
    /// table.
    func room(for lack: Lack, run: RunID?, except inputs: [TableKey], _ phase: Phase) -> Room? {
        var room = Room()
        var engineLack = lack.engine
        if engineLack > 0, pool.target == nil, pool.bytes > pool.fixedBytes {
            let freed = min(pool.bytes - pool.fixedBytes, engineLack)
            room.poolBytesMax = pool.bytes - freed
            engineLack -= freed
        }
        guard lack.run > 0 || engineLack > 0 else { return room }
        let victims = victims(except: inputs, phase)
        if lack.run > 0 {
            let own = victims.filter { tables[$0.key]!.counted.run == run }
            guard let chosen = choose(own, bytes: lack.run) else { return nil }
            room.victims = chosen
            engineLack -= chosen.reduce(0) { $0 + $1.bytes }
        }
        if engineLack > 0 {
            let gone = Set(room.victims.map(\.key))
            guard let chosen = choose(victims.filter { !gone.contains($0.key) }, bytes: engineLack) else { return nil }
            room.victims += chosen
        }
        return room
    }

    /// Spills the model's own inputs, if workers read spill files without taking up memory: the model can then have more than
    /// these inputs leave it.
    func roomOfInputs(_ ask: Ask, _ need: Need) -> Room? {
        guard !limits.spilledComesBack else { return nil }
        let wanted = ask.isRetry ? Int.max : min(ask.expectedBytes, ask.memoryBytesMax ?? .max)
        var room = Room()
        var lack = wanted - need.reserved
        let largestFirst = Set(ask.inputs).map { (bytes: residentBytes(of: [$0]), key: $0) }.sorted {
            ($1.bytes, $0.key) < ($0.bytes, $1.key)
        }
        for (_, key) in largestFirst {
            guard lack > 0, let state = tables[key], pins[key] == nil, evictions[key] == nil, state.residentBytes > 0,
                waysLeft(key, state, .normal).contains(.spill)
            else { continue }
            let seconds = Double(state.residentBytes) / rates.spillBytesPerSecond
            room.victims.append(
                Victim(key: key, way: .spill, bytes: state.residentBytes, seconds: seconds, weight: 0))
            lack -= state.residentBytes
        }
        return room.victims.isEmpty ? nil : room
    }

    /// Every table that may be evicted, by the best of its ways, in the order in which they should go.
    private func victims(except inputs: [TableKey], _ phase: Phase) -> [Victim] {
        var victims: [Victim] = []
        for (key, state) in tables where pins[key] == nil && evictions[key] == nil && !inputs.contains(key) {
            let ways = waysLeft(key, state, phase)
            guard !ways.isEmpty else { continue }
            let cost = EvictionCost(
                table: state.table, residentBytes: state.residentBytes, distance: distance(state), rates: rates)
            let (way, seconds) = cost.cheapest(of: ways)
            let weight = policy == .leastRecentlyUsed ? Double(state.usedAt) : cost.weight(seconds)
            victims.append(
                Victim(key: key, way: way, bytes: state.residentBytes, seconds: seconds, weight: weight))
        }
        return victims.sorted { ($0.weight, $0.key) < ($1.weight, $1.key) }
    }

    /// How far ahead the next reader of a table is. If no reader is known, only the last use is: the next one is taken to be as
    /// far ahead as that is behind.
    private func distance(_ state: TableState) -> EvictionCost.Distance {
        if let at = state.nextUseAt { return .known(max(0, at - now(state.table.owner))) }
        return .guessed(max(0, clock - state.usedAt))
    }

    /// Cheap victims that free at least so many bytes together.
    ///
    /// The cheapest per byte are taken until that is enough; then victims that later ones made needless are left out again, the
    /// dearest first. A single table that is large enough may still cost less than all of them.
    private func choose(_ victims: [Victim], bytes: Int) -> [Victim]? {
        var chosen: [Victim] = []
        var freed = 0
        for victim in victims where freed < bytes {
            chosen.append(victim)
            freed += victim.bytes
        }
        guard freed >= bytes else { return nil }
        for victim in chosen.sorted(by: { $0.seconds > $1.seconds }) where freed - victim.bytes >= bytes {
            chosen.removeAll { $0.key == victim.key }
            freed -= victim.bytes
        }
        guard policy != .leastRecentlyUsed else { return chosen }
        let total = chosen.reduce(0) { $0 + $1.total }
        let single = victims.filter { $0.bytes >= bytes }.min { $0.total < $1.total }
        if let single, single.total < total { return [single] }
        return chosen
    }

    /// Starts what was chosen.
    mutating func start(_ room: Room) {
        if let bytes = room.poolBytesMax {
            pool.target = bytes
            actions.append(.shrinkPool(bytesMax: bytes))
        }
        for victim in room.victims {
            let run = tables[victim.key]!.counted.run
            evictions[victim.key] = Eviction(way: victim.way, bytes: victim.bytes, run: run)
            leave(victim.bytes, run: run)
            actions.append(.evict(victim.key, victim.way))
        }
    }

    /// Frees memory when workers have grown beyond what they were expected to need.
    mutating func relieve() {
        for run in runs.keys.sorted() {
            guard let most = runs[run]!.memoryBytesMax else { continue }
            let sums = runs[run]!.sums
            relieve(Lack(run: sums.charged - sums.leaving - most, engine: 0), run: run)
        }
        guard let most = limits.memoryBytesMax else { return }
        let kept = ledger.sums.charged - ledger.sums.leaving + pool.bytes - pool.leavingBytes
        relieve(Lack(run: 0, engine: kept - most), run: nil)
    }

    private mutating func relieve(_ lack: Lack, run: RunID?) {
        guard lack.run > 0 || lack.engine > 0 else { return }
        // If all victims together aren't enough, everything that can be freed is freed.
        var possible = lack
        let victims = victims(except: [], .normal)
        possible.run = min(lack.run, victims.reduce(0) { $0 + (tables[$1.key]!.counted.run == run ? $1.bytes : 0) })
        let poolBytes = pool.target == nil ? pool.bytes - pool.fixedBytes : 0
        possible.engine = min(lack.engine, victims.reduce(poolBytes) { $0 + $1.bytes })
        if let room = room(for: possible, run: run, except: [], .normal) { start(room) }
    }

    mutating func leave(_ bytes: Int, run: RunID?) {
        ledger.sums.leaving += bytes
        if let run { runs[run]?.sums.leaving += bytes }
    }

    mutating func evicted(_ key: TableKey, _ way: Way, _ bytesFreed: Int) {
        precondition(bytesFreed >= 0, "bytes can't be negative")
        guard end(key, way) else { return }
        if way == .drop {
            tableGone(key)
            guard case .table = key else { return }
            drops[key, default: 0] += 1
            for run in runs.keys {
                for ask in runs[run]!.asks where ask.ask.inputs.contains(key) { removeAsk(ask.key) }
            }
            return
        }
        tables[key]!.residentBytes = max(0, tables[key]!.residentBytes - bytesFreed)
        tables[key]!.evictedBy.insert(way)
        recount(key)
    }

    mutating func evictionFailed(_ key: TableKey, _ way: Way) {
        guard end(key, way) else { return }
        tables[key]!.failed.insert(way)
        recount(key)
    }

    /// Ends the eviction. False if the table that was to go is gone meanwhile.
    private mutating func end(_ key: TableKey, _ way: Way) -> Bool {
        guard let eviction = evictions.removeValue(forKey: key) else {
            preconditionFailure("nobody asked for \(key) to be evicted")
        }
        precondition(eviction.way == way, "\(key) was to go by \(eviction.way), not by \(way)")
        leave(-eviction.bytes, run: eviction.run)
        return !eviction.isStale
    }
}
