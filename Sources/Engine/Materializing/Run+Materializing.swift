import Catalog
import Scheduler

/// How the tables of a run get into the catalog: workers write files, and a commit makes them tables when nothing that reads them has
/// failed.
extension Run {
    /// A worker wants files to write to.
    func wantsFiles(_ worker: WorkerProcess, _ count: Int) {
        if !isPreview(worker.model), plan.models[worker.model].sink != nil { return wantsSink(worker, count) }
        guard !isPreview(worker.model), plan.models[worker.model].target != nil, worker.want(files: count) else {
            return misbehaved(worker, "it asked for files that it can't have")
        }
        materializations.makeFiles(count) { [weak self] made in
            // It may have been killed meanwhile.
            guard let self, scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
            do {
                try worker.give(files: try made.get())
            } catch {
                feed(.sendFailed(worker.id, reason: "\(error)"))
            }
        }
    }

    /// A worker tells what it has written.
    func wrote(_ worker: WorkerProcess, _ content: WrittenTable) {
        guard !isPreview(worker.model), plan.models[worker.model].target != nil else {
            return misbehaved(worker, "it told of files that it doesn't have")
        }
        if let fault = worker.wrote(content) { misbehaved(worker, "it told of files: \(fault)") }
    }

    /// The table that a dead worker has written; nil for a model that writes none.
    func writtenTable(of model: Int, _ worker: WorkerProcess) throws -> Materializations.Written? {
        guard let (table, strategy) = plan.models[model].target else { return nil }
        guard let content = worker.written.content else {
            throw EngineError.protocolBroken("it has not told what it wrote")
        }
        return Materializations.Written(
            table: table, strategy: strategy, rewritten: Set(plan.models[model].materialize?.rewritten ?? []),
            content: content, files: worker.written.files)
    }

    /// Begins to publish the run's tables, if nothing speaks against it.
    ///
    /// - Returns: whether it has begun.
    func beginCommit(after outcome: Scheduler.Outcome) -> Bool {
        guard options.isTransactional, outcome.status == .success, record.failures.isEmpty, !isCancelled else {
            return false
        }
        return commit(materializations.waitingModels)
    }

    /// Without a transaction, begins to publish each table that is written, once the expectations that read it are met.
    func beginReadyCommits() {
        guard !options.isTransactional, !isCancelled else { return }
        for model in materializations.waitingModels where succeeded.contains(model) {
            let source = inputs(of: model)[0]
            let isExpected = plan.models.indices.allSatisfy { other in
                !plan.models[other].isExpectation || !inputs(of: other).contains(source) || succeeded.contains(other)
            }
            if isExpected { _ = commit([model]) }
        }
    }

    private func commit(_ models: [Int]) -> Bool {
        guard !models.isEmpty else { return false }
        let names = models.compactMap { plan.models[$0].materialize?.table }.joined(separator: ", ")
        // The run, which may be over but for this, is here as long as it isn't.
        materializations.commit(models) { error in
            if let error, error.kind != .stopped {
                self.record.fail(self.name(of: models[0]), "\(names) could not be published: \(error)")
            }
            self.endIfOver()
        }
        return true
    }

    /// Whether a commit has published something.
    var isCommitted: Bool { !materializations.published.isEmpty }

    /// Stops the commits that nobody can have seen yet.
    ///
    /// - Parameter waits: whether the run is over only when their disks have let them.
    func stopCommits(waits: Bool) {
        materializations.stop()
        guard !waits, materializations.isCommitting else { return }
        materializations.abandon()
        observer?.note(
            "warning: the disk of the catalog does not answer; whether the run's tables were published says 'zerrow table ls'"
        )
        endIfOver()
    }
}

extension Plan.Model {
    /// Whether it is an expectation.
    var isExpectation: Bool { task["expectation"] == .bool(true) }
}

extension Scheduler.Outcome {
    /// The same of a run that was cancelled after its models were over.
    static func cancelled(_ outcome: Scheduler.Outcome) -> Scheduler.Outcome {
        Scheduler.Outcome(status: .cancelled, cause: outcome.cause, models: outcome.models)
    }
}
