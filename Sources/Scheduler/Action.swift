extension Scheduler {
    /// What the engine is to do, in this order. No action waits for another: what takes time is answered by an event.
    public enum Action: Equatable, Sendable {
        /// Start the zygote of an environment. Once per environment; answered by `zygoteReady` or `zygoteFailed`.
        case startZygote(environment: String)

        /// Fork a worker for a model from the zygote of the model's environment. Answered by `forked` or `forkFailed`.
        case fork(model: Int, worker: WorkerID, grant: Grant)
        /// Give the worker its inputs, which are all ready, its output segment, and its task. Once per worker at most.
        case send(model: Int, worker: WorkerID)
        /// Kill the worker and everything it started. Once per worker at most, and only after `forked`.
        case kill(worker: WorkerID)

        /// The worker is dead and has published: check, trim and lock its table. Answered by `tableReady` or
        /// `tableRejected`.
        case seal(model: Int, worker: WorkerID)
        /// The worker is over and there is no table of it: free its output segment, and all else held for it. Every
        /// worker ends with one `seal` or one `discard`.
        case discard(worker: WorkerID)
        /// Nobody will read the model's table any more: drop its references. Once per table, after `tableReady`.
        case release(model: Int)

        /// The model has its final status. Once per model.
        case settle(model: Int, status: ModelStatus)
        /// The run is over: every worker is dead, every table is released. Once, and nothing follows.
        case finish(Outcome)
    }
}
