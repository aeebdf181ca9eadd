/// How models, tables and runs end.
extension Scheduler {
    mutating func tableReady(_ model: Int) {
        precondition(models[model].phase == .sealing, "the table of model \(model) isn't being sealed")
        giveBack(model)
        provide(model)
        settle(model, .success)
    }

    mutating func tableFound(_ model: Int) {
        precondition(graph.models[model].mayBeFound, "the table of model \(model) can't be found")
        precondition(models[model].isAsking, "model \(model) doesn't ask")
        precondition(models[model].worker == nil, "model \(model) has a worker")
        withdraw(model)
        noteGranted(model)
        provide(model)
        settle(model, .success)
    }

    /// Marks the model's table as held, and queues the readers that lack nothing any more.
    mutating func provide(_ model: Int) {
        models[model].table = .held
        for reader in graph.readers[model] where !models[reader].isSettled {
            models[reader].inputsMissing -= 1
            if models[reader].inputsMissing > 0 {
                wanting.append(reader)
            } else if models[reader].isOpen {
                enqueue(reader)
            }
        }
    }

    mutating func tableRejected(_ model: Int, _ reason: String) {
        precondition(models[model].phase == .sealing, "the table of model \(model) isn't being sealed")
        giveBack(model)
        fail(model, .rejected(reason))
    }

    /// Gives a model its status; no worker of it is alive.
    mutating func settle(_ model: Int, _ status: ModelStatus) {
        models[model].phase = .settled(status)
        models[model].earlierStatus = nil
        unsettled -= 1
        actions.append(.settle(model: model, status: status))
        let isOwed = models[model].table == .none && graph.models[model].role == .table && status.isDone
        if isOwed, models[model].needsInputs {
            // The model was to run again and was called off. Its table stays owed, so that a later demand starts it afresh.
            models[model].table = .owed
            tellOwed(model)
        } else {
            stopNeeding(inputsOf: model)
        }
        resting.append(model)
    }

    private mutating func stopNeeding(inputsOf model: Int) {
        guard models[model].needsInputs else {
            return
        }
        models[model].needsInputs = false
        for input in graph.inputs[model] {
            models[input].readersLeft -= 1
            if models[input].readersLeft == 0 {
                resting.append(input)
            }
        }
    }

    /// Lets go of tables that nobody will read any more: those that are held, owed or being made again.
    mutating func releaseUnneeded() {
        var next = 0
        while next < resting.count {
            let model = resting[next]
            next += 1
            guard models[model].readersLeft == 0, !graph.models[model].isFinal else {
                continue
            }
            switch models[model].table {
            case .held:
                if models[model].isSettled {
                    release(model)
                }
            case .owed:
                models[model].table = .gone
                stopNeeding(inputsOf: model)
            case .none:
                if let status = models[model].earlierStatus, models[model].isOpen, !models[model].hasResult {
                    end(model, status)
                }
            case .gone: break
            }
        }
        resting = []
    }

    mutating func release(_ model: Int) {
        models[model].table = .gone
        actions.append(.release(model: model))
    }

    /// Decides the status of an open model, and settles it unless a worker of it is still alive. A model that was to run again
    /// keeps its earlier status, unless it has failed itself.
    private mutating func end(_ model: Int, _ status: ModelStatus) {
        withdraw(model)
        var status = status
        if let earlier = models[model].earlierStatus {
            if case .failed = status {} else { status = earlier }
        }
        guard models[model].worker != nil else {
            return settle(model, status)
        }
        if case .failed = status {} else { kill(model) }
        models[model].worker!.phase = .ending(status)
    }

    /// Ends a model that has failed (an open one, or one whose result would have counted), and then the models that can't go on
    /// without it or, by the policy, may not.
    mutating func fail(_ model: Int, _ failure: Failure) {
        end(model, .failed(failure))
        guard graph.models[model].role == .table else {
            return
        }
        if cause == nil {
            cause = Outcome.Cause(model: model, failure: failure)
        }
        switch failurePolicy {
        case _ where isStopping: break
        case .stop: stop(because: model)
        case .keepGoing: skipReaders(of: model)
        }
    }

    /// Skips all models that need the table of the failed one, however far from it; also those that need it only because
    /// a table between isn't there any more.
    private mutating func skipReaders(of failed: Int) {
        var next = graph.readers[failed]
        var passed: Set<Int> = []
        while let model = next.popLast() {
            if models[model].isOpen {
                // A model that was to run again keeps its status, but the models that wait for its table get none.
                end(model, .skipped(because: failed))
            } else if models[model].table != .owed && !models[model].isCalledOff || !passed.insert(model).inserted {
                // The walk ends here: only a model that owes its table, or was called off, would need the failed one's again.
                continue
            }
            next.append(contentsOf: graph.readers[model])
        }
    }

    /// Ends all open models, except those whose results have arrived.
    private mutating func stop(because failed: Int) {
        isStopping = true
        for model in models.indices where models[model].isOpen && !models[model].hasResult {
            end(model, models[model].phase == .granted ? .cancelled : .skipped(because: failed))
        }
    }

    mutating func cancel() {
        isCancelled = true
        isStopping = true
        for model in models.indices {
            if models[model].worker != nil {
                // A worker that only has to exit is killed too: a cancelled run doesn't wait for it.
                kill(model)
            }
            if models[model].isOpen, !models[model].hasResult {
                end(model, .cancelled)
            }
        }
    }

    /// A zygote is dead: models of its environment can't run any more.
    mutating func zygoteFailed(_ environment: Int, _ reason: String) {
        let zygote = environments[environment].zygote
        guard zygote == .starting || zygote == .ready else {
            return
        }
        environments[environment].zygote = .dead
        let failure = Failure.environment(reason)
        var unawaited: Set<Int> = []
        for model in graph.environmentModels[environment] {
            if let worker = models[model].worker {
                if !worker.isForked {
                    loseWorker(model, failure)
                } else {
                    kill(model)
                    if models[model].isOpen ? !models[model].hasResult : isCalledOffInVain(model, &unawaited) {
                        fail(model, failure)
                    }
                }
            } else if models[model].isOpen, models[model].phase != .sealing {
                fail(model, failure)
            }
            if models[model].table == .owed, !isStopping, isAwaited(model, &unawaited) {
                wake(model)
                fail(model, failure)
            }
        }
    }

    /// Whether the model was called off, but its table is awaited again, so that it would run as soon as its worker is dead.
    private func isCalledOffInVain(_ model: Int, _ unawaited: inout Set<Int>) -> Bool {
        models[model].isCalledOff && !isStopping && isAwaited(model, &unawaited)
    }

    /// Whether an open model needs the table, which isn't there: directly, or for tables that would have to be made from it.
    ///
    /// Adds every visited model to `unawaited`, so that none is visited twice in one event. If the result is true, the caller
    /// must fail `model` next: this makes the visited models unawaited too, so that the set stays correct.
    private func isAwaited(_ model: Int, _ unawaited: inout Set<Int>) -> Bool {
        var next = [model]
        while let model = next.popLast() {
            guard unawaited.insert(model).inserted else {
                continue
            }
            for reader in graph.readers[model] {
                if models[reader].isOpen {
                    return true
                }
                if models[reader].table == .owed || models[reader].isCalledOff {
                    next.append(reader)
                }
            }
        }
        return false
    }
}
