import Scheduler

/// Checks that actions are right.
extension Oracle {
    func see(_ action: Scheduler.Action) throws {
        try require(outcome == nil, "\(action) after finish")
        switch action {
        case .startZygote(let environment):
            try require(isStarted && !isStopping, "\(action) in a run that is to stop")
            try require(zygotesAsked.insert(environment).inserted, "\(action) twice")
        case .ask(let model, let rank, let isRetry): try sawAsk(model, rank, isRetry)
        case .withdraw(let model):
            try require(nodes[model].isAsking, "model \(model) withdraws what it didn't ask")
            let hasEnded = !nodes[model].isOpen || isCalledOff(model)
            try require(hasEnded || !inputsAreHeld(model), "model \(model) withdraws for no reason")
            nodes[model].isAsking = false
        case .giveBack(let model): try sawGiveBack(model)
        case .fork(let model, let worker): try sawFork(model, worker)
        case .move(let worker, let model): try sawMove(worker, model)
        case .send(let model, let worker, let grant): try sawSend(model, worker, grant)
        case .kill(let worker): try sawKill(worker)
        case .seal(let model, let worker):
            try close(worker)
            try require(workers[worker]!.model == model && workers[worker]!.hasResult, "seals what isn't published")
            try require(!workers[worker]!.isLeaving, "seals what was handed over")
            try require(
                nodes[model].table == .absent && !traits[model].isPreview, "seals model \(model) wrongly")
            nodes[model].table = .sealing
        case .discard(let worker):
            try close(worker)
            let known = workers[worker]!
            let isTaken = known.isLeaving || traits[known.model].isPreview
            try require(!known.hasResult || isTaken, "discards the table of \(worker)")
        case .release(let model): try sawRelease(model)
        case .settle(let model, let status): try sawSettle(model, status)
        case .finish(let outcome): try sawFinish(outcome)
        }
    }

    /// Takes in that a model is to run again; the reason is checked when the scheduler has given all its actions.
    func wake(_ model: Int) throws {
        let node = nodes[model]
        try require(isStarted && !isStopping, "model \(model) is to run again in a run that is to stop")
        try require(node.isDone && node.table == .absent, "model \(model) is to run again, but \(node)")
        try require(!traits[model].isPreview, "the preview \(model) is to run again")
        try require(traits[model].canRollBack || node.status == .unneeded, "model \(model) must not run again")
        nodes[model].earlier = node.status
        nodes[model].status = nil
        nodes[model].ends = []
        nodes[model].isRetried = false
        nodes[model].isRetry = false
        woken.append(model)
        rerunCount += 1
    }

    /// Whether the model was to run again, and nobody needed that, or needs it now.
    func isCalledOff(_ model: Int) -> Bool {
        let node = nodes[model]
        return node.earlier != nil && node.table == .absent
            && (node.ends == .calledOff || (node.isOpen && !hasResult(model) && isUnread(model, needingInputs())))
    }

    private func sawAsk(_ model: Int, _ rank: Int, _ isRetry: Bool) throws {
        if nodes[model].status != nil {
            try wake(model)
        }
        let node = nodes[model]
        try require(isStarted && !isStopping, "model \(model) asks in a run that is to stop")
        try require(node.isOpen, "model \(model) asks in vain: \(node)")
        try require(traits[model].isNeeded || node.earlier != nil, "model \(model) asks and isn't needed")
        try require(!node.isAsking && node.grant == nil, "model \(model) asks twice")
        try require(node.table == .absent && !hasResult(model), "model \(model) asks for a table that is there")
        try require(inputsAreHeld(model), "model \(model) asks without all inputs")
        try require(hasZygote(model), "model \(model) asks without a zygote")
        try require(isRetry == node.isRetry, "model \(model) asks with isRetry \(isRetry)")
        try require(node.rank == nil || node.rank == rank, "model \(model) asks with the ranks \(node.rank!), \(rank)")
        nodes[model].rank = rank
        nodes[model].isAsking = true
    }

    private func sawGiveBack(_ model: Int) throws {
        if latecomer == model {
            latecomer = nil
            return
        }
        try require(nodes[model].grant != nil, "model \(model) gives back what it wasn't granted")
        try require(living(model) == nil, "model \(model) gives back while its worker lives")
        try require(nodes[model].table != .sealing, "model \(model) gives back while it is sealed")
        nodes[model].grant = nil
    }

    private func sawFork(_ model: Int, _ worker: Scheduler.WorkerID) throws {
        if nodes[model].status != nil {
            try wake(model)
        }
        let node = nodes[model]
        try require(isStarted && !isStopping, "forks \(worker) in a run that is to stop")
        try require(workers[worker] == nil, "forks \(worker) twice")
        try require(living(model) == nil && node.isOpen, "forks for model \(model), which needs no worker")
        try require(traits[model].isNeeded || node.earlier != nil, "forks for model \(model), which isn't to run")
        try require(node.table == .absent, "forks for model \(model), whose table is \(node.table)")
        try require(hasZygote(model), "forks from no zygote")
        func isMade(_ model: Int) -> Bool { traits[model].isCached || nodes[model].wasGranted }
        let isSoon =
            node.grant != nil || node.earlier != nil || node.isRetried
            || inputs[model].allSatisfy { isMade($0) || inputs[$0].allSatisfy(isMade) }
        try require(!traits[model].mayBeFound || node.grant != nil, "forks for model \(model), which may be found")
        try require(isSoon, "forks for model \(model) too far ahead")
        workers[worker] = Worker(model: model)
        nodes[model].lastWorker = worker
        open.append(worker)
    }

    private func sawMove(_ worker: Scheduler.WorkerID, _ model: Int) throws {
        guard let known = workers[worker], !known.isOver, known.isSound, !known.mustDie, !known.isSent else {
            throw Violation(description: "moves \(worker), which is of no use any more")
        }
        try require(
            traits[known.model].environment == traits[model].environment, "moves \(worker) to another environment")
        let isExchange = robbed == model
        try require(nodes[model].isOpen, "moves \(worker) to model \(model), which is to end")
        try require((nodes[model].grant != nil) != isExchange, "moves \(worker) to model \(model) for no reason")
        if !isExchange {
            try require(nodes[known.model].grant == nil, "moves \(worker) away from a granted model")
            if let own = living(model) {
                try require(!own.isForked || !own.hasStarted, "moves \(worker) to a model with a worker that waits")
                try require(
                    known.isForked && known.hasStarted, "moves \(worker), which isn't further than the model's own")
                robbed = known.model
            }
        } else {
            robbed = nil
        }
        if nodes[known.model].lastWorker == worker { nodes[known.model].lastWorker = nil }
        workers[worker]!.model = model
        nodes[model].lastWorker = worker
        moveCount += 1
    }

    private func sawSend(_ model: Int, _ worker: Scheduler.WorkerID, _ grant: Scheduler.Grant) throws {
        guard let known = workers[worker] else {
            throw Violation(description: "sends to unknown \(worker)")
        }
        try require(known.model == model, "sends model \(model) to \(worker) of another")
        try require(known.isForked && known.hasStarted && !known.isOver, "sends to \(worker) before it waits for it")
        try require(!known.isSent && !known.isKilled && known.isSound, "sends to \(worker) in vain")
        try require(!isStopping && nodes[model].isOpen, "sends to \(worker) of a model that is to end")
        try require(inputsAreHeld(model), "sends model \(model) without all inputs")
        try require(nodes[model].grant == grant, "sends model \(model) without its grant")
        workers[worker]!.isSent = true
    }

    private func sawKill(_ worker: Scheduler.WorkerID) throws {
        guard let known = workers[worker], known.isForked, !known.isOver else {
            throw Violation(description: "kills \(worker), which isn't alive")
        }
        try require(known.mustDie || isCalledOff(known.model), "kills \(worker) for no reason")
        try require(!known.isKilled, "kills \(worker) twice")
        workers[worker]!.isKilled = true
    }

    private func close(_ worker: Scheduler.WorkerID) throws {
        try require(workers[worker]?.isOver == true, "closes \(worker), which isn't over")
        try require(workers[worker]?.isClosed == false, "closes \(worker) twice")
        workers[worker]!.isClosed = true
        open.removeAll { $0 == worker }
    }

    private func sawRelease(_ model: Int) throws {
        try require(nodes[model].table == .held, "releases the table of model \(model), which is \(nodes[model].table)")
        try require(nodes[model].status != nil, "releases model \(model), which isn't settled")
        try require(!isPinned(model), "releases the pinned model \(model)")
        try require(isUnread(model, needingInputs()), "releases model \(model) under a reader")
        if traits[model].isFinal {
            try require(nodes.allSatisfy { $0.status != nil }, "releases final model \(model) early")
            delivered.insert(model)
        }
        nodes[model].table = .absent
    }

    private func sawSettle(_ model: Int, _ status: Scheduler.ModelStatus) throws {
        if case .failed(.environment) = status, nodes[model].isDone, stranded.contains(model) {
            nodes[model].status = .failed
            statuses[model] = status
            return endOthers(than: model)
        }
        let node = nodes[model]
        try require(node.status == nil, "settles model \(model) twice")
        try require(living(model) == nil, "settles model \(model) while its worker lives")
        try require(node.table != .sealing, "settles model \(model) while it is sealed")
        try require(node.grant == nil && !node.isAsking, "settles model \(model) while it has a grant, or asks")
        let isRight =
            switch status {
            case .success, .unneeded: try isDone(model, status)
            case .failed: node.ends.contains(.failed)
            case .cancelled: node.ends.contains(.cancelled) && node.earlier == nil
            case .skipped(let because):
                node.ends.contains(.skipped) && node.earlier == nil && !traits[because].isPreview
            }
        try require(isRight, "settles model \(model) as \(status), but \(node)")
        if node.earlier != nil, node.table == .absent, Status(status) == node.earlier {
            callOffCount += 1
        }
        nodes[model].status = Status(status)
        statuses[model] = status
        nodes[model].earlier = nil
        nodes[model].ends = []
    }

    private func isDone(_ model: Int, _ status: Scheduler.ModelStatus) throws -> Bool {
        let node = nodes[model]
        if node.isOpen, !isCalledOff(model) {
            let hasDelivered = node.lastWorker.map { workers[$0]!.hasResult } ?? false
            try require(hasDelivered, "model \(model) succeeds without a result")
            return status == .success && traits[model].isPreview == (node.table == .absent)
        }
        if node.ends == .found {
            return status == .success && node.table == .held
        }
        if let earlier = node.earlier {
            return Status(status) == earlier && (node.ends.isEmpty || node.ends != .failed) && node.table == .absent
        }
        return node.ends == (status == .success ? .cached : .unneeded)
            && (node.table == .held) == (status == .success)
    }

    private func sawFinish(_ outcome: Scheduler.Outcome) throws {
        try require(workers.values.allSatisfy { $0.isOver && $0.isClosed }, "finishes with living workers")
        try require(nodes.allSatisfy { $0.table == .absent }, "finishes with tables held")
        try require(latecomer == nil && nodes.allSatisfy { !$0.isAsking && $0.grant == nil }, "finishes with grants")
        try require(outcome.models.map(Optional.some) == statuses, "the outcome isn't what was settled")
        let isFailed = nodes.indices.contains { index in
            if case .failed = outcome.models[index] { !traits[index].isPreview } else { false }
        }
        let expected: Scheduler.Outcome.Status = isCancelled ? .cancelled : isFailed ? .failed : .success
        try require(outcome.status == expected, "finishes with \(outcome.status) and not \(expected)")
        try require((outcome.cause != nil) == isFailed, "finishes with the cause \(String(describing: outcome.cause))")
        if let cause = outcome.cause {
            try require(outcome.models[cause.model] == .failed(cause.failure), "the cause isn't the model's failure")
        }
        if !isTroubled, !isCancelled {
            try require(nodes.allSatisfy(\.isDone), "not all succeed, and nothing went wrong")
        }
        for (model, status) in outcome.models.enumerated() {
            try checkEnd(model, status, outcome)
        }
        self.outcome = outcome
    }

    private func checkEnd(_ model: Int, _ status: Scheduler.ModelStatus, _ outcome: Scheduler.Outcome) throws {
        switch status {
        case .success:
            try require(!traits[model].isFinal || delivered.contains(model), "the final table \(model) is lost")
        case .unneeded:
            try require(!traits[model].isNeeded, "model \(model) is needed")
        case .failed: break
        case .cancelled:
            try require(isCancelled || workload.failurePolicy == .stop, "model \(model) is cancelled by nobody")
        case .skipped(let because):
            guard case .failed = outcome.models[because] else {
                throw Violation(description: "model \(model) is skipped because of \(because), which didn't fail")
            }
            if workload.failurePolicy == .keepGoing {
                try require(depends(model, on: because), "model \(model) could have run without \(because)")
            }
        }
    }

    private func depends(_ model: Int, on origin: Int) -> Bool {
        var follows = nodes.map { _ in false }
        follows[origin] = true
        for next in order where inputs[next].contains(where: { follows[$0] }) {
            follows[next] = true
        }
        return follows[model]
    }
}
