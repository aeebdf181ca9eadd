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
        environments[environment].queued = []
        environments[environment].ahead = []
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
        if let worker = models[model].worker {
            aheadCount -= 1
            if worker.isForked, worker.phase == .idle {
                send(model)
            }
        } else {
            fork(model)
        }
        noteGranted(model)
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
    mutating func forkSoon(_ model: Int) {
        guard workersAhead > 0, !graph.models[model].mayBeFound else {
            return
        }
        let environment = graph.environment[model]
        if environments[environment].zygote == .ready {
            aheadQueue.push(graph.rank[model])
        } else {
            environments[environment].ahead.append(graph.rank[model])
        }
    }

    /// Forks workers for models that have no grant yet.
    mutating func forkAhead() {
        while aheadCount < workersAhead, let rank = aheadQueue.pop() {
            let model = graph.preference[rank]
            let isUngranted = models[model].phase == .waiting || models[model].phase == .queued
            if isUngranted, models[model].worker == nil {
                aheadCount += 1
                fork(model)
            }
        }
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
