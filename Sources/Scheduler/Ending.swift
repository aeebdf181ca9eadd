/// How models, tables and runs end.
extension Scheduler {
    mutating func tableReady(_ model: Int) {
        precondition(models[model].phase == .sealing, "the table of model \(model) isn't being sealed")
        slotsUsed -= 1
        models[model].table = .held
        settle(model, .success)
        for reader in graph.readers[model] {
            models[reader].inputsMissing -= 1
            if models[reader].inputsMissing == 0, models[reader].isOpen {
                enqueue(reader)
            }
        }
    }

    mutating func tableRejected(_ model: Int, _ reason: String) {
        precondition(models[model].phase == .sealing, "the table of model \(model) isn't being sealed")
        slotsUsed -= 1
        fail(model, .rejected(reason))
    }

    /// Gives a model its final status; no worker of it is alive. Its inputs have one reader less.
    mutating func settle(_ model: Int, _ status: ModelStatus) {
        models[model].phase = .settled(status)
        unsettled -= 1
        actions.append(.settle(model: model, status: status))
        for input in graph.inputs[model] {
            models[input].readersLeft -= 1
            releaseIfUnneeded(input)
        }
        releaseIfUnneeded(model)
    }

    private mutating func releaseIfUnneeded(_ model: Int) {
        if models[model].table == .held, models[model].readersLeft == 0, !graph.models[model].isFinal {
            release(model)
        }
    }

    mutating func release(_ model: Int) {
        models[model].table = .released
        actions.append(.release(model: model))
    }

    /// Decides the status of a model that is open, and settles it if no worker stands against that.
    private mutating func end(_ model: Int, _ status: ModelStatus) {
        if models[model].worker == nil {
            settle(model, status)
        } else {
            models[model].worker!.phase = .ending(status)
        }
    }

    /// A model that is open, or whose result was to count, has failed: ends it, and what can't or mayn't go on without it.
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

    /// Skips all models that need the table of the failed one, however far from it.
    private mutating func skipReaders(of failed: Int) {
        var next = graph.readers[failed]
        while let model = next.popLast() {
            // Whatever was ended before has had its readers ended with it.
            guard models[model].isOpen else {
                continue
            }
            if models[model].worker != nil {
                kill(model)
            }
            end(model, .skipped(because: failed))
            next.append(contentsOf: graph.readers[model])
        }
    }

    /// Ends all that is open, but for results that have arrived.
    private mutating func stop(because failed: Int) {
        isStopping = true
        for model in models.indices where models[model].isOpen && !hasResult(model) {
            if models[model].worker != nil {
                kill(model)
            }
            end(model, models[model].phase == .assigned ? .cancelled : .skipped(because: failed))
        }
    }

    mutating func cancel() {
        isCancelled = true
        isStopping = true
        for model in models.indices {
            if models[model].worker != nil {
                // Also one that only has to leave: nobody wants to wait for it.
                kill(model)
            }
            if models[model].isOpen, !hasResult(model) {
                end(model, .cancelled)
            }
        }
    }

    private func hasResult(_ model: Int) -> Bool {
        models[model].phase == .sealing || models[model].worker?.phase == .delivered
    }

    /// A zygote is dead: models of its environment can't run any more.
    mutating func zygoteFailed(_ environment: Int, _ reason: String) {
        guard environments[environment].zygote != .dead else {
            return
        }
        environments[environment].zygote = .dead
        let failure = Failure.environment(reason)
        for model in graph.environmentModels[environment] {
            if let worker = models[model].worker {
                if !worker.isForked {
                    loseWorker(model, failure)
                } else if worker.phase == .delivered {
                    kill(model)
                } else {
                    spoil(model, failure)
                }
            } else if models[model].isOpen, models[model].phase != .sealing {
                fail(model, failure)
            }
        }
    }
}
