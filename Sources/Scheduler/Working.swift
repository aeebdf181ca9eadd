/// Messages of workers, and what the engine reports about workers while they live.
extension Scheduler {
    mutating func forked(_ model: Int) {
        models[model].worker!.isForked = true
        let worker = models[model].worker!
        if worker.isDoomed {
            actions.append(.kill(worker: worker.id))
        } else if worker.phase == .idle, models[model].phase == .granted {
            send(model)
        }
    }

    mutating func started(_ model: Int) {
        guard models[model].worker!.phase == .starting else {
            return spoil(model, .misbehaved("it said that it started, which it can't have then"))
        }
        models[model].worker!.phase = .idle
        if models[model].worker!.isForked, models[model].phase == .granted {
            send(model)
        }
    }

    mutating func running(_ model: Int) {
        guard models[model].worker!.phase == .sent else {
            return spoil(model, .misbehaved("it said that it runs, which it can't have then"))
        }
        models[model].worker!.phase = .running
    }

    /// A result arrived, complete.
    mutating func delivered(_ model: Int, as role: Model.Role) {
        let phase = models[model].worker!.phase
        guard phase == .sent || phase == .running else {
            return spoil(model, .misbehaved("it sent a result that it can't have had then"))
        }
        guard graph.models[model].role == role else {
            let reason = role == .table ? "it sent a table in place of text" : "it sent text in place of a table"
            return spoil(model, .misbehaved(reason))
        }
        models[model].worker!.phase = .delivered
    }

    /// Whether the worker's table may be handed over before the worker is dead: its result has arrived, and counts.
    public func mayHandOver(_ worker: WorkerID) -> Bool {
        guard isAlive(worker) else {
            return false
        }
        let model = workers[worker.number]
        return models[model].worker!.phase == .delivered && graph.models[model].role == .table
    }

    /// The worker's table is there. The model keeps its grant, and has no status before the worker is dead.
    mutating func handedOver(_ worker: WorkerID) {
        precondition(mayHandOver(worker), "\(worker) has no table to hand over")
        let model = workers[worker.number]
        models[model].worker!.phase = .leaving
        provide(model)
    }

    /// The worker says why it fails. It then leaves by itself.
    mutating func reported(_ model: Int, _ error: WorkerError) {
        switch models[model].worker!.phase {
        case .starting, .idle, .sent, .running:
            if error.kind == "memory", !models[model].wasRetried {
                models[model].worker!.phase = .retrying
            } else {
                fail(model, .reported(error))
            }
        case .delivered, .leaving, .retrying, .ending:
            spoil(model, .misbehaved("it said that it failed, after its result or an earlier failure"))
        }
    }

    /// Ends a model whose worker lives, because of an event that leaves no hope for its result. A model whose worker is to be
    /// replaced isn't failed by it, nor is one whose table was handed over.
    mutating func spoil(_ model: Int, _ failure: Failure) {
        kill(model)
        let phase = models[model].worker!.phase
        if models[model].isOpen, phase != .retrying, phase != .leaving {
            fail(model, failure)
        }
    }

    mutating func timedOut(_ worker: WorkerID) {
        guard isAlive(worker) else {
            return
        }
        let model = workers[worker.number]
        if models[model].hasResult {
            // Only the worker's exit takes too long; its result counts.
            kill(model)
        } else {
            spoil(model, .timedOut)
        }
    }

    mutating func exited(_ model: Int, _ exit: Exit) {
        let worker = models[model].worker!
        precondition(worker.isForked, "\(worker.id) can't be dead before it is forked")
        if worker.phase == .delivered, graph.models[model].role == .table {
            // The model keeps its grant: the pages that its table doesn't name are freed only while the table is sealed.
            models[model].worker = nil
            models[model].phase = .sealing
            actions.append(.seal(model: model, worker: worker.id))
            return
        }
        removeWorker(model)
        switch worker.phase {
        case .starting, .idle, .sent, .running:
            if exit.isOutOfMemory, !models[model].wasRetried {
                retry(model)
            } else {
                fail(model, .died(exit, during: worker.stage))
            }
        case .retrying:
            retry(model)
        case .ending(let status):
            settle(model, status)
        case .delivered, .leaving:
            settle(model, .success)
        }
    }

    /// The worker of a model came to nothing before it was forked.
    mutating func loseWorker(_ model: Int, _ failure: Failure) {
        let worker = models[model].worker!
        removeWorker(model)
        if let status = worker.ending {
            settle(model, status)
        } else {
            fail(model, failure)
        }
    }

    /// Has another worker started for a model whose worker had too little memory and is over.
    private mutating func retry(_ model: Int) {
        models[model].wasRetried = true
        if models[model].phase == .granted {
            models[model].isRetry = true
            enqueue(model)
        }
        forkSoon(model)
    }

    /// Ends a worker that is over and left no table: gives back its model's grant, or its place among the workers ahead.
    private mutating func removeWorker(_ model: Int) {
        actions.append(.discard(worker: models[model].worker!.id))
        models[model].worker = nil
        if models[model].grant != nil {
            giveBack(model)
        } else {
            aheadCount -= 1
        }
    }

    /// Kills the worker of a model, at once or as soon as it can be.
    mutating func kill(_ model: Int) {
        let worker = models[model].worker!
        guard !worker.isDoomed else {
            return
        }
        models[model].worker!.isDoomed = true
        if worker.isForked {
            actions.append(.kill(worker: worker.id))
        }
    }
}
