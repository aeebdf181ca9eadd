import Scheduler

/// The conditions that hold when the scheduler has given all its actions for an event.
extension Oracle {
    func checkRest(_ scheduler: Scheduler) throws {
        guard outcome == nil else {
            return
        }
        try require(robbed == nil, "model \(robbed ?? 0) lost its worker for nothing")
        try require(latecomer == nil, "model \(latecomer ?? 0) keeps a grant that it can't use")
        for model in nodes.indices {
            let status = scheduler.status(of: model).map(Status.init)
            if status == nil, nodes[model].status != nil {
                try wake(model)
            }
            try require(nodes[model].status == status, "the status of model \(model) is wrong")
        }
        let needs = needingInputs()
        let unsettled = nodes.indices.filter { nodes[$0].status == nil }
        callOff(unsettled, needs)
        let alive = open.map { workers[$0]! }
        try checkWorkers(alive)
        try checkTables(needs)
        for model in unsettled {
            try checkUnsettled(model, needs)
            try checkAsking(model)
        }
        try checkWoken()
        if isStarted, !isStopping {
            for model in stranded where nodes[model].isDone {
                try require(!isAwaited(model), "model \(model) is awaited in vain")
            }
            try checkDemand(unsettled)
            try checkWorkersAhead(alive, unsettled)
        }
    }

    /// Checks the scheduler's answers about one model.
    func checkQueries(_ scheduler: Scheduler, _ model: Int) throws {
        let node = nodes[model]
        try require(scheduler.canDrop(model) == mayDrop(model), "canDrop(\(model)) isn't \(mayDrop(model)): \(node)")
        try require(scheduler.isPinned(model) == isPinned(model), "isPinned(\(model)) isn't \(isPinned(model))")
        try require(scheduler.isAsking(model) == node.isAsking, "isAsking(\(model)) isn't \(node.isAsking)")
        let isUnread = isUnread(model, needingInputs())
        try require((scheduler.nextReaderRank(of: model) == nil) == isUnread, "nextReaderRank(of: \(model)) is wrong")
    }

    private func callOff(_ unsettled: [Int], _ needs: [Bool]) {
        for model in unsettled where nodes[model].earlier != nil && nodes[model].isOpen {
            if !hasResult(model), isUnread(model, needs), living(model) != nil {
                end(model, .calledOff)
            }
        }
    }

    private func checkWorkers(_ alive: [Worker]) throws {
        var ahead = 0
        for worker in alive {
            let node = nodes[worker.model]
            try require(!worker.isOver, "a worker of model \(worker.model) is over, not sealed and not discarded")
            try require(node.status == nil, "a worker of model \(worker.model) lives on")
            try require(!worker.isSent || node.grant != nil, "model \(worker.model) runs without a grant")
            if worker.isForked, worker.mustDie {
                try require(worker.isKilled, "the worker of model \(worker.model) is not killed")
            }
            if worker.isForked, worker.hasStarted, worker.isSound, node.grant != nil, node.isOpen {
                try require(worker.isSent, "the worker of model \(worker.model) waits in vain")
            }
            if node.grant == nil {
                ahead += 1
            }
        }
        try require(ahead <= workload.workersAhead, "\(ahead) workers live ahead")
    }

    private func checkTables(_ needs: [Bool]) throws {
        guard isStarted else {
            return
        }
        let nodes = nodes
        for model in nodes.indices where nodes[model].table == .held {
            let isLeaving = living(model)?.isLeaving == true
            try require(
                nodes[model].status != nil || isLeaving, "the table of model \(model) is held: \(nodes[model])")
            let isWanted = traits[model].isFinal || isLeaving || !isUnread(model, needs)
            try require(isWanted, "the table of model \(model) lives on")
        }
    }

    private func checkUnsettled(_ model: Int, _ needs: [Bool]) throws {
        let node = nodes[model]
        if node.table != .sealing, living(model) == nil {
            try require(node.grant == nil, "model \(model) has a grant and no worker")
            try require(!node.isEnding, "model \(model) isn't settled: \(node)")
            if node.earlier != nil {
                try require(!isUnread(model, needs), "model \(model) runs again for nobody")
            }
        }
        if isStarted, !isStopping, node.isOpen {
            try require(zygotesAsked.contains(traits[model].environment), "model \(model) has no zygote")
        }
    }

    private func checkAsking(_ model: Int) throws {
        let node = nodes[model]
        let isToAsk =
            isStarted && !isStopping && node.isOpen && node.grant == nil && node.table == .absent
            && inputsAreHeld(model) && hasZygote(model)
        try require(node.isAsking == isToAsk, "model \(model) \(isToAsk ? "doesn't ask" : "asks"): \(node)")
    }

    /// Whether the model runs as soon as its inputs are there.
    private func isWaiting(_ model: Int) -> Bool {
        nodes[model].isOpen && nodes[model].table == .absent && nodes[model].grant == nil
    }

    /// A model that is to run again since this event is needed by one that lacks nothing else.
    private func checkWoken() throws {
        for model in woken {
            let isDemanded = readers[model].contains { reader in
                isWaiting(reader)
                    && inputs[reader].allSatisfy { nodes[$0].table == .held || nodes[$0].isDone || woken.contains($0) }
            }
            try require(isDemanded, "model \(model) runs again before it is demanded")
        }
    }

    /// No model waits for a table that nobody makes.
    private func checkDemand(_ unsettled: [Int]) throws {
        for model in unsettled where isWaiting(model) && !inputsAreHeld(model) {
            let isServed = inputs[model].contains { nodes[$0].status == nil }
            try require(isServed, "model \(model) waits for tables that nobody makes")
        }
    }

    private func checkWorkersAhead(_ alive: [Worker], _ unsettled: [Int]) throws {
        let ahead = alive.filter { nodes[$0.model].grant == nil }.count
        guard ahead < workload.workersAhead else {
            return
        }
        for model in unsettled
        where isWaiting(model) && living(model) == nil && hasZygote(model) && !traits[model].mayBeFound {
            let comes = inputs[model].allSatisfy { nodes[$0].table == .held || nodes[$0].grant != nil }
            try require(!comes, "no worker is forked ahead for model \(model)")
        }
    }
}
