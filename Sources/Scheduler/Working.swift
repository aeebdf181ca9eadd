/// What workers send, and what the engine tells of them while they live.
extension Scheduler {
    mutating func forked(_ model: Int) {
        models[model].worker!.isForked = true
        let worker = models[model].worker!
        if worker.isDoomed {
            actions.append(.kill(worker: worker.id))
        } else if worker.phase == .idle, models[model].phase == .assigned {
            send(model)
        }
    }

    mutating func started(_ model: Int) {
        guard models[model].worker!.phase == .starting else {
            return spoil(model, .misbehaved("it said that it started, which it can't have then"))
        }
        models[model].worker!.phase = .idle
        if models[model].worker!.isForked, models[model].phase == .assigned {
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

    /// The worker says why it fails. It then leaves by itself.
    mutating func reported(_ model: Int, _ error: WorkerError) {
        switch models[model].worker!.phase {
        case .starting, .idle, .sent, .running:
            fail(model, .reported(error))
        case .delivered, .ending:
            spoil(model, .misbehaved("it said that it failed, after its result or an earlier failure"))
        }
    }

    /// Ends a model whose worker lives, for something that leaves no hope for its result.
    mutating func spoil(_ model: Int, _ failure: Failure) {
        kill(model)
        if models[model].isOpen {
            fail(model, failure)
        }
    }

    mutating func timedOut(_ worker: WorkerID) {
        guard isAlive(worker) else {
            return
        }
        let model = workers[worker.number]
        if models[model].worker!.phase == .delivered {
            // Only its leaving takes too long.
            kill(model)
        } else {
            spoil(model, .timedOut)
        }
    }

    mutating func exited(_ model: Int, _ exit: Exit) {
        let worker = models[model].worker!
        precondition(worker.isForked, "\(worker.id) can't be dead before it is forked")
        if worker.phase == .delivered, graph.models[model].role == .table {
            // It keeps the slot: what reads the table is often more urgent than what else could run now.
            models[model].worker = nil
            models[model].phase = .sealing
            actions.append(.seal(model: model, worker: worker.id))
            return
        }
        removeWorker(model)
        actions.append(.discard(worker: worker.id))
        switch worker.phase {
        case .starting, .idle, .sent, .running:
            fail(model, .died(exit, during: worker.stage))
        case .ending(let status):
            settle(model, status)
        case .delivered:
            settle(model, .success)
        }
    }

    /// The worker of a model came to nothing before it was forked.
    mutating func loseWorker(_ model: Int, _ failure: Failure) {
        let worker = models[model].worker!
        removeWorker(model)
        actions.append(.discard(worker: worker.id))
        if let status = worker.ending {
            settle(model, status)
        } else {
            fail(model, failure)
        }
    }

    /// The worker is over: gives back the slot, or the place ahead.
    private mutating func removeWorker(_ model: Int) {
        models[model].worker = nil
        if models[model].phase == .assigned {
            slotsUsed -= 1
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
