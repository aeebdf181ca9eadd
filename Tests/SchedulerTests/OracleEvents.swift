import Scheduler

/// The consequences of events.
extension Oracle {
    func see(_ event: Scheduler.Event) {
        stranded = []
        woken = []
        delivered = []
        switch event {
        case .start: start()
        case .cancel:
            isCancelled = true
            stop(.cancelled)
            for worker in workers.keys {
                workers[worker]!.mustDie = true
            }
        case .zygoteReady(let environment): zygotesReady.insert(environment)
        case .zygoteFailed(let environment, _): zygoteDied(environment)
        case .granted(let model, let grant): granted(model, grant)
        case .refused(let model, _):
            if nodes[model].isAsking {
                nodes[model].isAsking = false
                fail(model)
                spoilWorker(model)
            }
        case .tableReady(let model): nodes[model].table = .held
        case .tableFound(let model):
            nodes[model].table = .held
            nodes[model].wasGranted = true
            nodes[model].ends = .found
        case .tableRejected(let model, _):
            nodes[model].table = .absent
            fail(model)
        case .dropped(let model): nodes[model].table = .absent
        case .forked(let worker): workers[worker]!.isForked = true
        case .forkFailed(let worker, _):
            workers[worker]!.isOver = true
            fail(workers[worker]!.model)
        case .sendFailed(let worker, _), .misbehaved(let worker, _): spoil(worker)
        case .failed(let worker, let error): reported(worker, error.kind)
        case .timedOut(let worker): timedOut(worker)
        case .started(let worker):
            if workers[worker]!.hasStarted || !workers[worker]!.isSound {
                spoil(worker)
            }
            workers[worker]!.hasStarted = true
        case .running(let worker):
            let known = workers[worker]!
            if !known.isSent || known.isRunning || known.hasResult || !known.isSound {
                spoil(worker)
            }
            workers[worker]!.isRunning = true
        case .published(let worker): deliver(worker, .table)
        case .handedOver(let worker):
            workers[worker]!.isLeaving = true
            nodes[workers[worker]!.model].table = .held
            handOverCount += 1
        case .done(let worker): deliver(worker, .preview)
        case .exited(let worker, let exit): exited(worker, exit)
        }
    }

    private func start() {
        isStarted = true
        for model in nodes.indices where !traits[model].isNeeded {
            nodes[model].ends = traits[model].isCached ? .cached : .unneeded
        }
    }

    private func granted(_ model: Int, _ grant: Scheduler.Grant) {
        if nodes[model].isAsking {
            nodes[model].isAsking = false
            nodes[model].grant = grant
            nodes[model].wasGranted = true
        } else {
            latecomer = model
        }
    }

    private func zygoteDied(_ environment: String) {
        zygotesDead.insert(environment)
        isTroubled = true
        let members = order.filter { traits[$0].environment == environment }
        let lost = members.filter { nodes[$0].isOpen && !hasResult($0) }
        let needs = needingInputs()
        let owing = members.filter { nodes[$0].isDone && nodes[$0].table == .absent && !isUnread($0, needs) }
        for (worker, known) in workers where !known.isOver && traits[known.model].environment == environment {
            if !known.isForked {
                workers[worker]!.isOver = true
            }
            workers[worker]!.mustDie = true
        }
        for model in lost {
            fail(model)
        }
        // Nobody knows which of them failed first and ended the others.
        for model in lost {
            nodes[model].ends = [.failed, .skipped, .cancelled]
        }
        for model in members where nodes[model].earlier != nil && nodes[model].isEnding && !isStopping {
            guard !nodes[model].ends.contains(.failed) else {
                continue
            }
            nodes[model].ends.insert(.failed)
            if isAwaited(model) {
                endOthers(than: model)
            }
        }
        stranded = Set(owing)
    }

    private func deliver(_ worker: Scheduler.WorkerID, _ role: Scheduler.Model.Role) {
        let known = workers[worker]!
        if !known.isSent || known.hasResult || !known.isSound || traits[known.model].isPreview != (role == .preview) {
            spoil(worker)
        } else {
            workers[worker]!.hasResult = true
        }
    }

    private func reported(_ worker: Scheduler.WorkerID, _ kind: String) {
        let known = workers[worker]!
        if known.hasResult || !known.isSound {
            spoil(worker)
        } else if kind == "memory", !nodes[known.model].isRetried {
            workers[worker]!.lacksMemory = true
        } else {
            // A first time it may leave by itself.
            workers[worker]!.isSpoiled = true
            fail(known.model)
        }
    }

    private func timedOut(_ worker: Scheduler.WorkerID) {
        guard let known = workers[worker], !known.isOver else {
            return
        }
        workers[worker]!.mustDie = true
        if !known.hasResult {
            spoil(worker)
        }
    }

    private func exited(_ worker: Scheduler.WorkerID, _ exit: Scheduler.Exit) {
        workers[worker]!.isOver = true
        let known = workers[worker]!
        guard nodes[known.model].isOpen, !known.hasResult else {
            return
        }
        if known.lacksMemory || (exit.isOutOfMemory && !nodes[known.model].isRetried) {
            retryCount += 1
            nodes[known.model].isRetried = true
            if nodes[known.model].grant != nil {
                nodes[known.model].isRetry = true
            }
        } else {
            fail(known.model)
        }
    }

    /// Nothing good can come of the worker any more.
    private func spoil(_ worker: Scheduler.WorkerID) {
        workers[worker]!.mustDie = true
        guard !workers[worker]!.lacksMemory, !workers[worker]!.isLeaving else {
            return
        }
        workers[worker]!.isSpoiled = true
        workers[worker]!.hasResult = false
        fail(workers[worker]!.model)
    }

    private func spoilWorker(_ model: Int) {
        if let id = nodes[model].lastWorker, !workers[id]!.isOver {
            workers[id]!.isSpoiled = true
            workers[id]!.lacksMemory = false
            workers[id]!.mustDie = true
        }
    }

    // MARK: - ends

    /// The model fails, unless another end of it was decided before, and others with it.
    private func fail(_ model: Int) {
        guard nodes[model].isOpen else {
            return
        }
        nodes[model].ends = .failed
        if let id = nodes[model].lastWorker, !workers[id]!.isOver {
            workers[id]!.isSpoiled = true
            workers[id]!.lacksMemory = false
        }
        endOthers(than: model)
    }

    /// What a model's failure means for all other models.
    func endOthers(than model: Int) {
        isTroubled = true
        guard !traits[model].isPreview, !isStopping else {
            return
        }
        if workload.failurePolicy == .stop {
            stop([.skipped, .cancelled])
        } else {
            skip(model)
        }
    }

    /// Decides the end of a model for which its worker, if it has one, is killed.
    func end(_ model: Int, _ ends: Ends) {
        nodes[model].ends = ends
        spoilWorker(model)
    }

    private func stop(_ ends: Ends) {
        isStopping = true
        for model in nodes.indices where nodes[model].isOpen && !hasResult(model) {
            let isGranted = nodes[model].grant != nil
            end(model, ends == .cancelled || isGranted ? .cancelled : .skipped)
        }
    }

    /// Ends all models that lack the failed model's table, or one that would have to be made from it.
    private func skip(_ failed: Int) {
        var lacks = nodes.map { _ in false }
        lacks[failed] = true
        for model in order where !lacks[model] && nodes[model].table == .absent {
            guard inputs[model].contains(where: { lacks[$0] }) else {
                continue
            }
            lacks[model] = true
            if nodes[model].isOpen {
                end(model, .skipped)
            }
        }
    }
}
