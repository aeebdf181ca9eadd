/// How a run begins, and how models come to run.
extension Scheduler {
    mutating func start() {
        precondition(!isStarted, "a run starts once")
        isStarted = true
        for environment in graph.environmentModels.indices
        where graph.environmentModels[environment].contains(where: { models[$0].needsInputs }) {
            startZygote(environment)
        }
        for model in models.indices where !models[model].needsInputs {
            settle(model, graph.models[model].isCached ? .success : .unneeded)
        }
        for model in graph.preference where models[model].needsInputs {
            if models[model].inputsUngranted == 0 {
                forkSoon(model)
            } else if models[model].inputsFar == 0 {
                forkSoon(model, isFar: true)
            }
            if models[model].inputsMissing == 0 {
                enqueue(model)
            }
        }
    }

    /// Starts a zygote that was not needed yet.
    mutating func startZygote(_ environment: Int) {
        environments[environment].zygote = .starting
        actions.append(.startZygote(environment: graph.environments[environment]))
    }

    mutating func zygoteReady(_ environment: Int) {
        guard environments[environment].zygote == .starting else {
            return
        }
        environments[environment].zygote = .ready
        for rank in environments[environment].queued {
            queue.push(rank)
        }
        for rank in environments[environment].ahead {
            aheadQueue.push(rank)
        }
        for rank in environments[environment].farAhead {
            farQueue.push(rank)
        }
        environments[environment].queued = []
        environments[environment].ahead = []
        environments[environment].farAhead = []
    }

    /// Queues a model whose inputs are all held.
    mutating func enqueue(_ model: Int) {
        models[model].phase = .queued
        let environment = graph.environment[model]
        if environments[environment].zygote == .ready {
            queue.push(graph.rank[model])
        } else {
            environments[environment].queued.append(graph.rank[model])
        }
    }

    /// Asks for queued models, the most urgent first.
    mutating func ask() {
        while let rank = queue.pop() {
            let model = graph.preference[rank]
            if models[model].phase == .queued, models[model].isOpen, !models[model].isAsking {
                models[model].isAsking = true
                actions.append(.ask(model: model, rank: rank, isRetry: models[model].isRetry))
            }
        }
    }

    mutating func withdraw(_ model: Int) {
        if models[model].isAsking {
            models[model].isAsking = false
            actions.append(.withdraw(model: model))
        }
    }

    mutating func granted(_ model: Int, _ grant: Grant) {
        guard models[model].isAsking else {
            // The ask was withdrawn while its answer was on the way, or this is a surplus answer to an earlier ask.
            actions.append(.giveBack(model: model))
            return
        }
        models[model].isAsking = false
        models[model].phase = .granted
        models[model].grant = grant
        for input in graph.inputs[model] {
            models[input].readersGranted += 1
        }
        if models[model].worker != nil {
            aheadCount -= 1
        }
        if models[model].worker.map({ $0.isUnused && !$0.isReady }) ?? true {
            takeOver(for: model)
        }
        if let worker = models[model].worker {
            if worker.isReady {
                send(model)
            }
        } else {
            fork(model)
        }
        noteGranted(model)
    }

    /// Has a granted model, which has no worker or one that isn't ready, take one that was forked ahead for another model of its environment. That
    /// one has the other in exchange, or gets a new one.
    private mutating func takeOver(for model: Int) {
        let environment = graph.environment[model]
        environments[environment].forkedAhead.removeAll {
            models[$0].phase == .granted || models[$0].worker?.isUnused != true
        }
        let own = models[model].worker
        // The least urgent model can do without it for longest.
        let donor = environments[environment].forkedAhead.max { left, right in
            let (isLeftReady, isRightReady) = (models[left].worker!.isReady, models[right].worker!.isReady)
            return isLeftReady == isRightReady ? graph.rank[left] < graph.rank[right] : isRightReady
        }
        guard let donor, own == nil || models[donor].worker!.isReady else {
            return
        }
        move(models[donor].worker!, to: model)
        models[donor].worker = nil
        if let own {
            move(own, to: donor)
        } else {
            aheadCount -= 1
            environments[environment].forkedAhead.removeAll { $0 == donor }
            forkSoon(donor, isFar: models[donor].inputsUngranted > 0)
        }
    }

    private mutating func move(_ worker: WorkerState, to model: Int) {
        models[model].worker = worker
        workers[worker.id.number] = model
        actions.append(.move(worker: worker.id, model: model))
    }

    /// Notes that a model is granted or needs no grant, so that its readers may soon be ready.
    mutating func noteGranted(_ model: Int) {
        guard !models[model].wasGranted else {
            return
        }
        models[model].wasGranted = true
        for reader in graph.readers[model] {
            models[reader].inputsUngranted -= 1
            if models[reader].inputsUngranted == 0 {
                forkSoon(reader)
                noteNear(reader)
            }
        }
    }

    /// Notes that a model could be granted as soon as what it reads is there: its readers may follow. Those of a cached one never waited for it.
    private mutating func noteNear(_ model: Int) {
        guard !graph.models[model].isCached else {
            return
        }
        for reader in graph.readers[model] {
            models[reader].inputsFar -= 1
            if models[reader].inputsFar == 0, models[reader].inputsUngranted > 0 {
                forkSoon(reader, isFar: true)
            }
        }
    }

    mutating func refused(_ model: Int, _ reason: String) {
        if models[model].isAsking {
            models[model].isAsking = false
            let failure = Failure.refused(reason)
            if models[model].worker != nil {
                kill(model)
            }
            fail(model, failure)
        }
    }

    mutating func giveBack(_ model: Int) {
        models[model].grant = nil
        for input in graph.inputs[model] {
            models[input].readersGranted -= 1
        }
        actions.append(.giveBack(model: model))
    }

    /// Has a worker forked ahead for a model whose inputs are held or being made: it will soon need one.
    ///
    /// - Parameter isFar: whether some input isn't being made yet, but could be as soon as there is a slot.
    mutating func forkSoon(_ model: Int, isFar: Bool = false) {
        guard workersAhead > 0, !graph.models[model].mayBeFound else {
            return
        }
        let environment = graph.environment[model]
        switch (environments[environment].zygote == .ready, isFar) {
        case (true, false): aheadQueue.push(graph.rank[model])
        case (true, true): farQueue.push(graph.rank[model])
        case (false, false): environments[environment].ahead.append(graph.rank[model])
        case (false, true): environments[environment].farAhead.append(graph.rank[model])
        }
    }

    /// Forks workers for models that have no grant yet. One place is left for a model that needs its worker sooner than those far ahead.
    mutating func forkAhead() {
        while aheadCount < workersAhead, let rank = aheadQueue.pop() {
            forkAhead(graph.preference[rank])
        }
        while aheadCount < workersAhead - 1, let rank = farQueue.pop() {
            forkAhead(graph.preference[rank])
        }
    }

    private mutating func forkAhead(_ model: Int) {
        let isUngranted = models[model].phase == .waiting || models[model].phase == .queued
        guard isUngranted, models[model].isOpen, models[model].worker == nil else {
            return
        }
        aheadCount += 1
        fork(model)
        environments[graph.environment[model]].forkedAhead.append(model)
    }

    private mutating func fork(_ model: Int) {
        let worker = WorkerID(workers.count)
        workers.append(model)
        models[model].worker = WorkerState(id: worker)
        actions.append(.fork(model: model, worker: worker))
    }

    mutating func send(_ model: Int) {
        models[model].worker!.phase = .sent
        actions.append(.send(model: model, worker: models[model].worker!.id, grant: models[model].grant!))
    }
}
