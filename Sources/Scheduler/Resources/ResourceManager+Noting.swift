/// How events change the manager's state, before anything is decided.
extension ResourceManager {
    mutating func runBegan(_ run: RunID, _ priority: Int, _ slots: Int, _ memoryBytesMax: Int?) {
        precondition(runs[run] == nil, "run \(run) began already")
        precondition(slots >= 0 && memoryBytesMax ?? 0 >= 0, "slots and memory can't be negative")
        runs[run] = RunState(
            priority: priority, slots: slots, memoryBytesMax: memoryBytesMax.map { min($0, Self.bytesMax) })
    }

    mutating func runEnded(_ run: RunID) {
        guard let state = runs.removeValue(forKey: run) else { preconditionFailure("run \(run) never began") }
        precondition(state.used == 0, "run \(run) ended with \(state.used) grants that weren't given back")
        if claim?.run == run { claim = nil }
        drops = drops.filter { if case .table(run, _) = $0.key { false } else { true } }
        for key in tables.keys where tables[key]!.table.owner == run {
            tables[key]!.table.owner = nil
            tables[key]!.nextUseAt = nil
            recount(key)
        }
        for key in evictions.keys where evictions[key]!.run == run { evictions[key]!.run = nil }
    }

    mutating func asked(_ ask: Ask) {
        let key = ModelKey(ask.run, ask.model)
        precondition(runs[ask.run] != nil, "run \(ask.run) asks before it began, or after it ended")
        if let grant = grants[key] {
            precondition(grant.isCrossed, "model \(ask.model) of run \(ask.run) asks for what it has")
            grants[key]!.isCrossed = false
            return
        }
        precondition(runs[ask.run]!.ranks[ask.model] == nil, "model \(ask.model) of run \(ask.run) asks twice")
        precondition(ask.expectedBytes >= 0 && ask.memoryBytesMax ?? 0 >= 0, "bytes can't be negative")
        var ask = ask
        ask.expectedBytes = min(ask.expectedBytes, Self.bytesMax)
        ask.memoryBytesMax = ask.memoryBytesMax.map { min($0, Self.bytesMax) }
        runs[ask.run]!.insert(ask)
    }

    mutating func withdrawn(_ key: ModelKey) {
        // The grant was on its way: it is given back, or answers the next ask.
        guard grants[key] == nil else {
            grants[key]!.isCrossed = true
            return
        }
        removeAsk(key)
    }

    mutating func removeAsk(_ key: ModelKey) {
        runs[key.run]?.remove(key.model)
        if claim == key { claim = nil }
    }

    mutating func givenBack(_ key: ModelKey) {
        guard let grant = grants.removeValue(forKey: key) else {
            preconditionFailure("model \(key.model) of run \(key.run) has no grant to give back")
        }
        runs[key.run]!.used -= 1
        charge(-grant.bytes, run: key.run)
        for input in grant.inputs {
            pins[input] = pins[input]! == 1 ? nil : pins[input]! - 1
            recount(input)
        }
    }

    mutating func used(_ key: ModelKey, _ bytes: Int) {
        precondition(bytes >= 0, "bytes can't be negative")
        let bytes = min(bytes, Self.bytesMax)
        guard let before = grants[key]?.bytes else {
            preconditionFailure("model \(key.model) of run \(key.run) has no grant and uses memory")
        }
        grants[key]!.used = bytes
        charge(grants[key]!.bytes - before, run: key.run)
    }

    mutating func tableHeld(_ key: TableKey, _ table: TableFacts) {
        precondition(table.bytes >= 0, "bytes can't be negative")
        if var state = tables[key] {
            // Only the figures have changed: bytes that were evicted stay where they are.
            state.residentBytes = state.evictedBy.isEmpty ? table.bytes : min(state.residentBytes, table.bytes)
            state.table = table
            tables[key] = state
        } else {
            clock += 1
            tables[key] = TableState(table: table, residentBytes: table.bytes, usedAt: clock)
            handOver(key, table)
        }
        if let bytes = table.residentBytes {
            // The table may have moved along with another one.
            tables[key]!.residentBytes = min(bytes, table.bytes)
            if bytes >= table.bytes { tables[key]!.evictedBy = [] } else { tables[key]!.evictedBy.insert(.spill) }
        }
        setNextUse(key, table.nextUse)
        recount(key)
    }

    /// The worker that made the table no longer counts these bytes: the table does.
    private mutating func handOver(_ key: TableKey, _ table: TableFacts) {
        var maker = table.maker
        if maker == nil, case .table(let run, let model) = key { maker = ModelKey(run, model) }
        guard let maker, let before = grants[maker]?.bytes else { return }
        grants[maker]!.handedOver += table.bytes
        charge(grants[maker]!.bytes - before, run: maker.run)
    }

    mutating func tableUsed(_ key: TableKey, _ nextUse: Int?) {
        guard tables[key] != nil else { return }
        clock += 1
        tables[key]!.usedAt = clock
        setNextUse(key, nextUse)
        recount(key)
    }

    /// Remembers when a table will be read, so that the distance shrinks by itself with each grant of its run.
    private mutating func setNextUse(_ key: TableKey, _ nextUse: Int?) {
        precondition(nextUse ?? 0 >= 0, "a next use can't be in the past")
        tables[key]!.nextUseAt = nextUse.map { $0 + now(tables[key]!.table.owner) }
    }

    /// The time in which distances are measured: grants of the run, or the clock if no run owns the table.
    func now(_ owner: RunID?) -> Int { owner.flatMap { runs[$0]?.grantCount } ?? clock }

    mutating func tableGone(_ key: TableKey) {
        guard let state = tables.removeValue(forKey: key) else { return }
        count(Counted(), instead: state.counted)
        if let eviction = evictions[key] {
            leave(-eviction.bytes, run: eviction.run)
            evictions[key]!.bytes = 0
            evictions[key]!.isStale = true
        }
    }

    mutating func restored(_ key: TableKey, _ bytes: Int) {
        precondition(bytes >= 0, "bytes can't be negative")
        guard let state = tables[key] else { return }
        tables[key]!.residentBytes = bytes
        if bytes >= state.table.bytes { tables[key]!.evictedBy = [] }
        recount(key)
    }

    mutating func poolChanged(_ bytes: Int) {
        precondition(bytes >= 0, "bytes can't be negative")
        if let target = pool.target {
            // A report of growth isn't the answer: it has overtaken it.
            if bytes <= pool.bytes {
                // Bytes that the pool couldn't free now stay the next time too, until its size changes.
                pool.fixedBytes = bytes > target ? bytes : 0
                pool.target = nil
            }
        } else if bytes != pool.bytes {
            pool.fixedBytes = 0
        }
        pool.bytes = bytes
    }
}
