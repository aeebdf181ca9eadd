/// Admission: which asks are granted, and when.
extension ResourceManager {
    /// The memory that an ask needs under each limit, in bytes.
    struct Need: Sendable {
        /// The bytes reserved for the model itself.
        var reserved: Int
        /// `reserved`, and the bytes that come back when the inputs are read: inputs of the same run (`run`), or all (`engine`).
        var run: Int
        var engine: Int
        /// The limit that the ask exceeds even if every other model had ended and every evictable table were evicted; nil if
        /// none.
        var shortOf: Refusal.Limit?
        /// The limit that would leave the ask more if tables that can't be evicted were gone, its own run's results aside; nil if
        /// none.
        var heldBackBy: Refusal.Limit?
    }

    /// How an ask stands.
    enum Fit {
        case fits(Need)
        /// These evictions would make it fit.
        case room(Room, Need)
        /// Another model has to end first, under the run's limit or under the engine's.
        case waits(engine: Bool)
        /// Tables that can't be evicted have to go first, under the run's limit or under the engine's.
        case heldBack(engine: Bool)
        /// Room is being made for it, or one of its inputs is on its way out.
        case pending
        case refused(Refusal)
    }

    /// How far the manager goes to grant one more ask. The next phase comes when nothing can be done in the one before, and only
    /// for a run that nothing could help by itself (`isStuck`).
    enum Phase: Int, CaseIterable, Sendable {
        /// Asks that fit are granted, and room is made.
        case normal
        /// As `normal`, and a table may be dropped though it was dropped and made again up to two times without being read.
        case undo
        /// As `undo`, with more drops. An ask that isn't a retry is granted what is left, even if tables that can't be evicted
        /// keep it from having more.
        case squeeze
        /// As `squeeze`, and retries too are granted what is left; they fail for good if it is too little.
        case squeezeRetries

        /// How many drops since its last read a table may have had to be dropped once more.
        var dropsMax: Int {
            switch self {
            case .normal: 0
            case .undo: 2
            case .squeeze, .squeezeRetries: ResourceManager.dropsMax
            }
        }
    }

    /// How many asks of a run are looked at while something else runs anyhow.
    private static let asksMax = 64
    /// How often an ask is overtaken before it accepts less than it could have without tables that can't be evicted.
    private static let patience = 2 * overtakesMax

    /// Grants or refuses one ask, or has room made for one. False if nothing can be done before the next event.
    mutating func admitNext() -> Bool {
        // Who may borrow a slot need not wait for whom room is made for, but can't start either.
        guard hasFreeSlot || runs.keys.contains(where: { mayBorrow($0) && !runs[$0]!.asks.isEmpty }) else {
            return false
        }
        if let claim, admitClaimant(claim) { return true }
        let order = runOrder()
        guard !order.isEmpty else { return false }
        return Phase.allCases.contains { admit(order, $0) }
    }

    /// Grants the claimant, which is the ask that room was made for, or has more room made for it. If it can't have room any
    /// more, it loses its claim and is an ask like others.
    private mutating func admitClaimant(_ key: ModelKey) -> Bool {
        guard let ask = ask(key), mayUseSlot(key.run) else {
            claim = nil
            return false
        }
        switch fit(ask, claimPhase, isPatient: claimPhase == .normal) {
        case .fits(let need):
            grant(ask, need)
            return true
        case .room(let room, _): start(room)
        case .pending: break
        case .waits, .heldBack, .refused: claim = nil
        }
        return false
    }

    private func ask(_ key: ModelKey) -> Ask? {
        guard let run = runs[key.run], let index = run.index(of: key.model) else { return nil }
        return run.asks[index].ask
    }

    private func mayUseSlot(_ run: RunID) -> Bool {
        runs[run]!.used < runs[run]!.slots && (hasFreeSlot || mayBorrow(run))
    }

    /// The highest priority of a run that asks.
    private var highestAskingPriority: Int {
        runs.values.reduce(Int.min) { $1.asks.isEmpty ? $0 : max($0, $1.priority) }
    }

    /// The runs that ask and may use one more slot, in the order in which they are served.
    func runOrder() -> [RunID] {
        let asking = runs.keys.filter { !runs[$0]!.asks.isEmpty && mayUseSlot($0) }
        let highest = asking.map { runs[$0]!.priority }.max() ?? 0
        let prefersOthers = streak >= Self.streakMax
        func order(_ run: RunID) -> (Int, Int, Int, Int) {
            let state = runs[run]!
            if !prefersOthers { return (-state.priority, state.used, state.servedAt, run) }
            // Of those that are behind, the one that was served longest ago: so each has its turn, whatever its priority.
            let isBehind = state.priority < highest
            return (isBehind ? 0 : 1, isBehind ? 0 : state.used, state.servedAt, run)
        }
        return asking.sorted { order($0) < order($1) }
    }

    /// Goes through all asks once, until one leads to something. True if one did.
    private mutating func admit(_ order: [RunID], _ phase: Phase) -> Bool {
        var passed: [(key: ModelKey, engine: Bool)] = []
        var isEngineBlocked = false
        for run in order {
            guard !isEngineBlocked else { break }
            if phase != .normal, !isStuck(run) { continue }
            let most = isAnyActive ? Self.asksMax : Int.max
            // Whom room is made for, if nothing else of its run fits as it is: who reads most of what is in memory. When it is done, that
            // may go; one that only begins a chain would make more tables wait. A run's work is finite: nobody starves by that.
            var next: (room: Room, key: ModelKey, phase: Phase, inputBytes: Int)?
            for state in runs[run]!.asks.prefix(most) {
                let isPatient = state.overtakes < Self.patience
                // An ask that was overtaken too often goes to the last phase: others could make and undo their tables for ever.
                let phase = isPatient || !isStuck(run) ? phase : .squeezeRetries
                switch fit(state.ask, phase, isPatient: isPatient) {
                case .fits(let need):
                    grant(state.ask, need)
                    overtake(passed, by: run)
                    return true
                case .room(let room, _):
                    let inputBytes = residentBytes(of: state.ask.inputs)
                    if inputBytes > next?.inputBytes ?? -1 { next = (room, state.key, phase, inputBytes) }
                    continue
                case .refused(let refusal):
                    removeAsk(state.key)
                    actions.append(.refuse(run, model: state.ask.model, refusal))
                    return true
                case .pending: continue
                case .heldBack(let engine):
                    // No other ask is stopped for this one: the tables in its way go only if their runs go on.
                    passed.append((state.key, engine))
                    continue
                case .waits(let engine):
                    passed.append((state.key, engine))
                    guard state.overtakes >= Self.overtakesMax else { continue }
                    // Whoever is in its way has to end. When nobody gets on there, there is nothing to wait for.
                    if engine, isAnyActive { isEngineBlocked = true }
                }
                if isEngineBlocked || (runs[run]!.used > 0 && state.overtakes >= Self.overtakesMax) { break }
            }
            if let next {
                // The claimant will be granted before the asks it passed, because room is made for it.
                overtake(passed, by: run)
                claim = next.key
                claimPhase = next.phase
                start(next.room)
                return true
            }
        }
        return false
    }

    func residentBytes(of inputs: [TableKey]) -> Int {
        Set(inputs).reduce(0) { $0 + (tables[$1]?.residentBytes ?? 0) }
    }

    private mutating func overtake(_ passed: [(key: ModelKey, engine: Bool)], by run: RunID) {
        for other in passed where other.engine || other.key.run == run {
            runs[other.key.run]?.overtake(other.key.model)
        }
    }

    /// Whether nothing happens by itself that could help this run: it runs no model, and nobody makes room.
    private func isStuck(_ run: RunID) -> Bool {
        runs[run]!.used == 0 && claim == nil && evictions.isEmpty && pool.target == nil
    }

    /// Whether an ask fits, could be made to fit, or has to wait. A patient ask waits until it can have as much as is possible at
    /// all, or for its phase.
    private func fit(_ ask: Ask, _ phase: Phase, isPatient: Bool) -> Fit {
        let run = runs[ask.run]!
        if ask.inputs.contains(where: { evictions[$0] != nil }) { return .pending }
        if ask.isRetry, run.used > 0 { return .waits(engine: false) }
        let need = need(ask)
        if ask.isRetry, let most = limits.memoryBytesMax {
            // The workers of others may grow to their limits, and that must not push the retry out a second time.
            let others = grants.values.reduce(0) { $0 + max($1.memoryBytesMax ?? most, $1.bytes) }
            if others > most - need.engine, !grants.isEmpty { return .waits(engine: true) }
        }
        let isClaimant = claim == ModelKey(ask.run, ask.model)
        if need.shortOf != nil, claim == nil || isClaimant, let room = roomOfInputs(ask, need) {
            return .room(room, need)
        }
        let isSqueezed = phase == .squeezeRetries || (phase == .squeeze && !ask.isRetry)
        if let whose = need.heldBackBy, isPatient, !isSqueezed || !isIdle(run, whose) {
            return .heldBack(engine: whose == .engine)
        }
        if let whose = need.shortOf, need.reserved < limits.workerBytesMin {
            let refusal = refusal(ask, whose)
            let neverFits = refusal.inputBytes + limits.workerBytesMin > refusal.limitBytes
            return neverFits || isSqueezed ? .refused(refusal) : .waits(engine: whose == .engine)
        }
        let runLack = run.memoryBytesMax.map { run.sums.charged + need.run - $0 } ?? 0
        let engineLack = limits.memoryBytesMax.map { ledger.sums.charged + pool.bytes + need.engine - $0 } ?? 0
        if runLack <= 0, engineLack <= 0 {
            return isClaimant || fitsBesideClaim(ask, need) ? .fits(need) : .pending
        }
        guard claim == nil || isClaimant else { return .waits(engine: engineLack > 0) }
        let lack = Lack(
            run: runLack - run.sums.leaving, engine: engineLack - ledger.sums.leaving - pool.leavingBytes)
        if lack.run <= 0, lack.engine <= 0 { return .pending }
        guard let room = room(for: lack, run: ask.run, except: ask.inputs, phase) else {
            return .waits(engine: engineLack > 0)
        }
        let isEngineIdle = isPatient ? isIdle(run, .engine) : !isAnyActive
        if phase != .normal, engineLack > 0, !isEngineIdle { return .waits(engine: true) }
        // Starting it at once saves only so much: if making room costs more, waiting for what runs is better.
        let canWait = (runLack > 0 && run.used > 0) || (engineLack > 0 && isAnyActive)
        if canWait, let seconds = ask.expectedSeconds, room.seconds > seconds * EvictionCost.waitFactor {
            return .waits(engine: engineLack > 0)
        }
        return .room(room, need)
    }

    /// Whether no model that counts against the limit runs or is about to. A run that neither asks nor has a grant will ask soon,
    /// or end.
    private func isIdle(_ run: RunState, _ whose: Refusal.Limit) -> Bool {
        switch whose {
        case .run: run.used == 0
        case .engine: !isAnyActive && runs.values.allSatisfy { !$0.asks.isEmpty || $0.used > 0 }
        }
    }

    /// Whether the claimant's memory is still there after this ask has been granted.
    private func fitsBesideClaim(_ ask: Ask, _ need: Need) -> Bool {
        guard let claim, let claimant = self.ask(claim) else { return true }
        let claimed = self.need(claimant)
        if claim.run == ask.run, let most = runs[ask.run]!.memoryBytesMax {
            let sums = runs[ask.run]!.sums
            if sums.charged - sums.leaving + need.run + claimed.run > most { return false }
        }
        guard let most = limits.memoryBytesMax else { return true }
        let kept = ledger.sums.charged - ledger.sums.leaving + pool.bytes - pool.leavingBytes
        return kept + need.engine + claimed.engine <= most
    }

    /// What an ask needs: at most the memory there would be if all else had ended and every evictable table were evicted.
    func need(_ ask: Ask) -> Need {
        let wanted = ask.isRetry ? Int.max : ask.expectedBytes
        var need = Need(reserved: min(wanted, ask.memoryBytesMax ?? wanted), run: 0, engine: 0)
        // The inputs' bytes while they are read; the part of them that isn't counted yet; the part that counts as fixed already.
        var run = (all: 0, missing: 0, fixed: 0)
        var engine = run
        for key in Set(ask.inputs) {
            guard let state = tables[key] else { continue }
            let all = bytesWhenRead(state)
            engine.all += all
            engine.missing += all - state.counted.bytes
            engine.fixed += state.counted.fixedBytes
            guard state.counted.run == ask.run else { continue }
            run.all += all
            run.missing += all - state.counted.bytes
            run.fixed += state.counted.fixedBytes
        }
        // The bytes of the run's own results aren't worth waiting for, because they stay until it ends.
        let kept = runs[ask.run]!.sums.kept
        if let most = runs[ask.run]!.memoryBytesMax {
            let possible = most - (runs[ask.run]!.sums.fixed - run.fixed) - run.all
            if possible < min(need.reserved, most - run.all - kept) { need.heldBackBy = .run }
            if possible < need.reserved { (need.reserved, need.shortOf) = (max(0, possible), .run) }
        }
        if let most = limits.memoryBytesMax {
            let possible = most - (ledger.sums.fixed - engine.fixed) - engine.all - pool.fixedBytes
            if possible < min(need.reserved, most - engine.all - kept - pool.fixedBytes) { need.heldBackBy = .engine }
            if possible < need.reserved { (need.reserved, need.shortOf) = (max(0, possible), .engine) }
        }
        if need.reserved == Int.max {
            // A retry that nothing limits.
            need.reserved = ask.expectedBytes
        }
        need.run = need.reserved + run.missing
        need.engine = need.reserved + engine.missing
        return need
    }

    private func refusal(_ ask: Ask, _ whose: Refusal.Limit) -> Refusal {
        let run = runs[ask.run]!
        var inputs = 0
        var fixed = whose == .run ? run.sums.fixed : ledger.sums.fixed + pool.fixedBytes
        for key in Set(ask.inputs) {
            guard let state = tables[key], whose == .engine || state.counted.run == ask.run else { continue }
            inputs += bytesWhenRead(state)
            fixed -= state.counted.fixedBytes
        }
        return Refusal(
            whose: whose, limitBytes: (whose == .run ? run.memoryBytesMax : limits.memoryBytesMax)!,
            inputBytes: inputs, fixedBytes: fixed, expectedBytes: ask.expectedBytes)
    }

    private mutating func grant(_ ask: Ask, _ need: Need) {
        let key = ModelKey(ask.run, ask.model)
        let (highest, priority) = (highestAskingPriority, runs[ask.run]!.priority)
        let isAnyBehind = runs.values.contains { $0.priority < highest && !$0.asks.isEmpty }
        removeAsk(key)
        clock += 1
        streak = priority < highest || !isAnyBehind ? 0 : streak + 1
        runs[ask.run]!.used += 1
        runs[ask.run]!.grantCount += 1
        runs[ask.run]!.servedAt = clock
        let inputs = Set(ask.inputs).sorted()
        for input in inputs {
            pins[input, default: 0] += 1
            drops[input] = nil
            tables[input]?.usedAt = clock
            recount(input)
        }
        let isBesideRetry = limits.memoryBytesMax != nil && grants.values.contains { $0.ask.isRetry }
        let memoryBytesMax = isBesideRetry ? need.reserved : hardLimit(ask)
        grants[key] = GrantState(
            ask: ask, inputs: inputs, reserved: need.reserved, hasAll: ask.isRetry || need.shortOf != nil,
            memoryBytesMax: memoryBytesMax)
        charge(need.reserved, run: ask.run)
        actions.append(
            .grant(
                ask.run, model: ask.model,
                Scheduler.Grant(memoryBytesMax: memoryBytesMax, expectedBytes: need.reserved)))
    }

    /// The most that the model could have beside the other running models, if every evictable table were evicted; nil if no limit
    /// applies.
    ///
    /// While a retry runs, `grant` uses the reservation instead. A worker that grows beyond its hard limit is killed alone,
    /// before workers that keep to their expected need. Called before the grant is counted, with its inputs pinned.
    private func hardLimit(_ ask: Ask) -> Int? {
        guard limits.memoryBytesMax != nil || runs[ask.run]!.memoryBytesMax != nil else { return ask.memoryBytesMax }
        let others = grants.reduce(into: (run: 0, engine: 0)) { sum, grant in
            sum.engine += grant.value.bytes
            if grant.key.run == ask.run { sum.run += grant.value.bytes }
        }
        var pinned = (run: 0, engine: 0)
        for (key, state) in tables where pins[key] != nil || state.counted.fixedBytes > 0 {
            let bytes = max(state.counted.bytes, state.counted.fixedBytes)
            pinned.engine += bytes
            if state.counted.run == ask.run { pinned.run += bytes }
        }
        let byRun = runs[ask.run]!.memoryBytesMax.map { $0 - others.run - pinned.run }
        let byEngine = limits.memoryBytesMax.map { $0 - others.engine - pinned.engine - pool.fixedBytes }
        return [ask.memoryBytesMax, byRun, byEngine].compactMap(\.self).min()
    }
}
