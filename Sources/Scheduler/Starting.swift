/// How a run begins, and how models come to run.
extension Scheduler {
    mutating func start() {
        precondition(!isStarted, "a run starts once")
        isStarted = true
        for environment in graph.environments {
            actions.append(.startZygote(environment: environment))
        }
        for model in graph.preference where models[model].inputsMissing == 0 {
            inputsAssigned(model)
            enqueue(model)
        }
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
        environments[environment].queued = []
        environments[environment].ahead = []
    }

    /// The model's inputs are all ready.
    mutating func enqueue(_ model: Int) {
        models[model].phase = .queued
        let environment = graph.environment[model]
        if environments[environment].zygote == .ready {
            queue.push(graph.rank[model])
        } else {
            environments[environment].queued.append(graph.rank[model])
        }
    }

    /// Gives free slots to queued models, the most urgent first.
    mutating func assignSlots() {
        while slotsUsed < slots, let rank = queue.pop() {
            let model = graph.preference[rank]
            if models[model].phase == .queued, models[model].isOpen {
                assign(model)
            }
        }
    }

    private mutating func assign(_ model: Int) {
        models[model].phase = .assigned
        slotsUsed += 1
        assignedCount += 1
        if let worker = models[model].worker {
            aheadCount -= 1
            if worker.isForked, worker.phase == .idle {
                send(model)
            }
        } else {
            fork(model)
        }
        for reader in graph.readers[model] {
            models[reader].inputsUnassigned -= 1
            if models[reader].inputsUnassigned == 0 {
                inputsAssigned(reader)
            }
        }
    }

    /// The model's inputs are ready or being made, so that it will soon need a worker.
    private mutating func inputsAssigned(_ model: Int) {
        guard workersAhead > 0 else {
            return
        }
        let environment = graph.environment[model]
        if environments[environment].zygote == .ready {
            aheadQueue.push(graph.rank[model])
        } else {
            environments[environment].ahead.append(graph.rank[model])
        }
    }

    /// Forks workers for models that have no slot yet.
    mutating func forkAhead() {
        while aheadCount < workersAhead, let rank = aheadQueue.pop() {
            let model = graph.preference[rank]
            let isUnassigned = models[model].phase == .waiting || models[model].phase == .queued
            if isUnassigned, models[model].worker == nil {
                aheadCount += 1
                fork(model)
            }
        }
    }

    private mutating func fork(_ model: Int) {
        let worker = WorkerID(workers.count)
        workers.append(model)
        models[model].worker = WorkerState(id: worker)
        let grant = Grant(memoryBytesMax: graph.models[model].memoryBytesMax)
        actions.append(.fork(model: model, worker: worker, grant: grant))
    }

    mutating func send(_ model: Int) {
        models[model].worker!.phase = .sent
        actions.append(.send(model: model, worker: models[model].worker!.id))
    }
}
