/// Rolling back: how tables are dropped though models may still read them, and are made again.
///
/// A dropped table is *owed* as long as a model may read it. The model that makes it needs its inputs, so that these are kept or
/// owed in their turn: whatever is released meanwhile, an owed table can be made. It is made only when it is demanded.
extension Scheduler {
    /// Whether a model that has a grant reads the table: it may not be dropped then.
    public func isPinned(_ model: Int) -> Bool {
        models[model].readersGranted > 0
    }

    /// Whether an earlier worker of the model had too little memory.
    public func isRetry(_ model: Int) -> Bool { models[model].isRetry }

    /// Whether the model has asked, and has no answer yet.
    public func isAsking(_ model: Int) -> Bool {
        models[model].isAsking
    }

    /// Whether the event `dropped` may come for the model's table now, if no other event comes first.
    ///
    /// Takes time linear in the models that would have to run again, and their inputs.
    public func canDrop(_ model: Int) -> Bool {
        models[model].table == .held && !isPinned(model) && rerun(of: model) != nil
    }

    /// The models that would have to run if the model's table, which is held, were dropped and then demanded: the model itself
    /// and its direct and indirect inputs whose tables aren't there. In no particular order; nil if one of them can't run or must
    /// not, or the table is final.
    ///
    /// Takes time linear in these models and their inputs.
    public func rerun(of model: Int) -> [Int]? {
        guard case .settled(.success) = models[model].phase, !graph.models[model].isFinal else {
            return nil
        }
        var found = [model]
        var seen: Set = [model]
        var next = 0
        while next < found.count {
            guard mayRun(found[next]) else {
                return nil
            }
            for input in graph.inputs[found[next]] where models[input].table != .held && !models[input].isOpen {
                guard models[input].isDone || models[input].isCalledOff else {
                    return nil
                }
                if seen.insert(input).inserted {
                    found.append(input)
                }
            }
            next += 1
        }
        return found
    }

    /// Whether a model may be run to have its table, which isn't there or may be dropped.
    private func mayRun(_ model: Int) -> Bool {
        let state = models[model]
        let wasUnneeded = state.phase == .settled(.unneeded) || state.earlierStatus == .unneeded
        return environments[graph.environment[model]].zygote != .dead
            && (graph.models[model].canRollBack || wasUnneeded)
    }

    /// The rank of the most urgent model that may still read the model's table; nil if there is none.
    public func nextReaderRank(of model: Int) -> Int? {
        graph.readers[model].lazy.filter { models[$0].needsInputs }.map { graph.rank[$0] }.min()
    }

    /// The engine has dropped a table.
    mutating func dropped(_ model: Int) {
        precondition(models[model].table == .held, "the table of model \(model) isn't held")
        precondition(!isPinned(model), "the table of model \(model) is being read")
        precondition(!graph.models[model].isFinal, "the table of model \(model) is a result of the run")
        precondition(models[model].phase == .settled(.success), "model \(model) isn't settled")
        owe(model)
        for reader in graph.readers[model] where !models[reader].isSettled {
            models[reader].inputsMissing += 1
            if models[reader].phase == .queued {
                models[reader].phase = .waiting
                withdraw(reader)
            }
        }
        var next = [model]
        while let owing = next.popLast() {
            for input in need(inputsOf: owing) {
                owe(input)
                next.append(input)
            }
        }
    }

    /// Marks a settled model's table as owed: it isn't there, and a model may want it.
    private mutating func owe(_ model: Int) {
        precondition(mayRun(model), "model \(model) can't be run again")
        models[model].table = .owed
        tellOwed(model)
    }

    /// Counts an owed table for each reader that lacks it.
    mutating func tellOwed(_ model: Int) {
        for reader in graph.readers[model] where !models[reader].isSettled {
            models[reader].inputsOwed += 1
            wanting.append(reader)
        }
    }

    /// Counts a model that owes its table among the readers of its inputs; returns the inputs whose tables are gone.
    private mutating func need(inputsOf model: Int) -> [Int] {
        precondition(!models[model].needsInputs, "model \(model) is counted twice")
        models[model].needsInputs = true
        for input in graph.inputs[model] {
            models[input].readersLeft += 1
        }
        return graph.inputs[model].filter { models[$0].table == .gone }
    }

    /// Wakes the models whose owed tables are all that a reader lacks, and so on down to models that lack nothing.
    mutating func demand() {
        while let reader = wanting.popLast() {
            let state = models[reader]
            guard !isStopping, state.phase == .waiting, state.isOpen, state.inputsOwed > 0,
                state.inputsOwed == state.inputsMissing
            else {
                continue
            }
            for input in graph.inputs[reader] where models[input].table == .owed {
                wake(input)
                if models[input].inputsMissing == 0 {
                    enqueue(input)
                } else {
                    wanting.append(input)
                }
                forkSoon(input)
            }
        }
    }

    /// Has a settled model that owes its table run again.
    mutating func wake(_ model: Int) {
        models[model].earlierStatus = status(of: model)
        models[model].phase = .waiting
        models[model].table = .none
        models[model].wasRetried = false
        models[model].isRetry = false
        models[model].inputsMissing = graph.inputs[model].count { models[$0].table != .held }
        models[model].inputsOwed = graph.inputs[model].count { models[$0].table == .owed }
        unsettled += 1
        for reader in graph.readers[model] where !models[reader].isSettled {
            models[reader].inputsOwed -= 1
        }
        if environments[graph.environment[model]].zygote == .cold {
            startZygote(graph.environment[model])
        }
    }
}
