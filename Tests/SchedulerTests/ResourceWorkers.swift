import Scheduler

/// The workers of the world, and the kernel that kills what passes a limit.
extension ResourceWorld {
    mutating func start(_ key: ModelKey, _ grant: Scheduler.Grant) {
        workerCount += 1
        let model = workload.runs[key.run].models[key.model]
        workers[key] = Worker(
            number: workerCount, grant: grant,
            possibleBytes: accountant.possibleBytes(key.run, model.inputs, model.memoryBytesMax))
        // Evicted tables have to be read back first.
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

    /// How long it takes until a worker that does nothing is seen to.
    private static let secondsToSeeAStall = 2.0

    /// Whether a worker stops to get on where it is.
    private mutating func stalls(_ key: ModelKey, _ model: ResourceWorkload.Model) -> Bool {
        guard let stall = model.stall, let worker = workers[key], worker.step == stall.step, !worker.hasStalled else {
            return false
        }
        workers[key]!.hasStalled = true
        moments.add(.stalled(key, worker: worker.number), at: now + Self.secondsToSeeAStall)
        if let seconds = stall.seconds { moments.add(.resumed(key, worker: worker.number), at: now + seconds) }
        return true
    }

    /// When nothing happens any more: nobody waits for a slot that could run. Then whoever has started what hangs cancels it.
    ///
    /// - Returns: whether there was such a run.
    mutating func cancelHungRun() throws -> Bool {
        try accountant.checkNobodyWaitsForASlot()
        guard let hung = workers.keys.map(\.run).min() else { return false }
        result.hungRuns += 1
        try feed(stop(hung))
        return true
    }

    /// A worker reads its inputs, needs more and more memory in three steps, and then ends.
    mutating func step(_ key: ModelKey) throws {
        let model = workload.runs[key.run].models[key.model]
        if stalls(key, model) { return }
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
        let pooled = left * workload.pooledPercent / 100
        if pooled > 0 { events.append(.pool(bytes: accountant.poolBytes + pooled)) }
        events.append(.givenBack(key.run, model: key.model))
        try feed(events + update(key.run))
    }

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

    /// The bytes that are in memory in fact.
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

    func checkRefusal(_ run: Int, _ model: Int, _ refusal: ResourceManager.Refusal) throws {
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
