extension Scheduler {
    /// What happened. The engine feeds events in the order in which it learns of them.
    ///
    /// The engine's part of the contract, which is checked by precondition where it can be:
    /// - `start` comes first; only `cancel` and `slotsChanged` may overtake it.
    /// - A worker's events name a worker that was forked by an action and isn't over; see `isAlive`.
    /// - A worker's messages come in the order in which it sent them. They may come before `forked`, as that arrives
    ///   over the zygote's socket. They do not come after `exited`: before the engine reports that a worker is dead, it
    ///   reads what is left in its socket.
    /// - After `zygoteFailed` every worker of that environment that is alive and was `forked` still gets its `exited`;
    ///   one that wasn't yet is over, and gets no event any more.
    /// - A kill isn't answered but by `exited`.
    /// - A worker that doesn't leave after its last message is given `timedOut` in the end.
    public enum Event: Equatable, Sendable {
        /// The run begins.
        case start
        /// The user wants it to stop (Ctrl-C). Any number of times, at any time.
        case cancel

        /// It may use so many slots from now on. Any number of times, at any time.
        case slotsChanged(Int)

        /// The zygote of an environment is warm.
        case zygoteReady(environment: String)
        /// The zygote of an environment couldn't be started or is dead. It is not started again.
        case zygoteFailed(environment: String, reason: String)

        /// A worker is there: it can be killed, and waited for.
        case forked(WorkerID)
        /// A worker couldn't be forked. It is over.
        case forkFailed(WorkerID, reason: String)
        /// What `send` asked for couldn't be done, for a reason that isn't the worker's death.
        case sendFailed(WorkerID, reason: String)

        /// The worker's message `started`.
        case started(WorkerID)
        /// The worker's message `running`.
        case running(WorkerID)
        /// The worker's message `published`, complete and decoded; its table can't be read before it is sealed.
        case published(WorkerID)
        /// The worker's message `done`.
        case done(WorkerID)
        /// The worker's message `failed`.
        case failed(WorkerID, WorkerError)
        /// The worker sent anything else: an unknown op, no JSON, a wrong number of descriptors, a bad descriptor.
        case misbehaved(WorkerID, reason: String)
        /// The worker took too long, at whatever it is at. Ignored when it is over.
        case timedOut(WorkerID)
        /// The worker and everything it started are dead. It is over.
        case exited(WorkerID, Exit)

        /// The table was checked, trimmed and locked; it holds its own references to whatever it reshares.
        case tableReady(model: Int)
        /// The table isn't what was published, or couldn't be locked. The engine has freed it.
        case tableRejected(model: Int, reason: String)
    }
}
