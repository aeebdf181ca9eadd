extension Scheduler {
    /// The orders that the engine carries out, in their order. The scheduler waits for none: a lengthy action is answered by an
    /// event.
    public enum Action: Equatable, Sendable {
        /// Start the zygote of an environment. Once per environment, and only if a model of it is to run; answered by
        /// `zygoteReady` or `zygoteFailed`.
        case startZygote(environment: String)

        /// The model could run now: its inputs are held, its zygote is ready. Answered by `granted` or `refused`, unless it is
        /// withdrawn before; there is no hurry. The lower the rank, the more urgent. A retry was granted before, and had too
        /// little memory.
        case ask(model: Int, rank: Int, isRetry: Bool)
        /// The model no longer asks, because it has ended or an input of it was dropped. Once per ask at most, never after its
        /// answer.
        case withdraw(model: Int)
        /// The model no longer needs its grant: its worker is over, and its table, if it made one, is ready or rejected. Once per
        /// `granted`. Until then the tables it reads are pinned.
        case giveBack(model: Int)

        /// Fork a worker for a model from the zygote of the model's environment. Answered by `forked` or `forkFailed`.
        case fork(model: Int, worker: WorkerID)
        /// The worker, which was sent nothing yet, is for this model from now on, which has the environment of the one that it was for. A model may
        /// get another one's worker before its own is moved, in the next action.
        case move(worker: WorkerID, model: Int)
        /// Give the worker its limits, its inputs, which are all ready, its output segment, and its task. Once per worker at
        /// most.
        case send(model: Int, worker: WorkerID, grant: Grant)
        /// Kill the worker and everything it started. Once per worker at most, and only after `forked`.
        case kill(worker: WorkerID)

        /// The worker is dead and has published: check, trim and lock its table. Answered by `tableReady` or
        /// `tableRejected`.
        case seal(model: Int, worker: WorkerID)
        /// The worker is over and left no table: free its output segment, and everything else that the engine keeps for it. Every
        /// worker ends with one `seal` or one `discard`.
        case discard(worker: WorkerID)
        /// Nobody will read the model's table any more: drop its references. Every table that was held ends with this or with the
        /// event `dropped`.
        case release(model: Int)

        /// The model has its status. Once per model, and once more for each time it is to be run again.
        case settle(model: Int, status: ModelStatus)
        /// The run is over: every worker is dead, every grant is given back, every table is released. Once, and nothing
        /// follows.
        case finish(Outcome)
    }
}
