extension Scheduler {
    /// What happened. The engine feeds events in the order in which it learns of them.
    ///
    /// The engine's part of the contract, which is checked by precondition where it can be:
    /// - `start` comes first; only `cancel` may overtake it.
    /// - A worker's events name a worker that was forked by an action and isn't over; see `isAlive`.
    /// - A worker's messages come in the order in which it sent them. They may come before `forked`, as that arrives
    ///   over the zygote's socket. They do not come after `exited`: before the engine reports that a worker is dead, it
    ///   reads what is left in its socket.
    /// - After `zygoteFailed` every worker of that environment that is alive and was `forked` still gets its `exited`; a worker
    ///   that wasn't `forked` yet is over, and gets no event any more.
    /// - A kill is answered by `exited` and by nothing else.
    /// - A worker that doesn't leave after its last message is given `timedOut` in the end.
    /// - An ask is answered once, or never. An answer that crosses a `withdraw` does no harm: if the model has asked again before
    ///   it arrives, it answers that ask; a surplus grant is given back at once.
    /// - A table is dropped only if `canDrop` allows it after all events that came before.
    public enum Event: Equatable, Sendable {
        /// The run begins.
        case start
        /// The user wants it to stop (Ctrl-C). Any number of times, at any time.
        case cancel

        /// The zygote of an environment is warm.
        case zygoteReady(environment: String)
        /// The zygote of an environment couldn't be started or is dead. It is not started again.
        case zygoteFailed(environment: String, reason: String)

        /// The model may run, with that much memory. The grant is given back at once if the model no longer asks.
        case granted(model: Int, Grant)
        /// The model can never run: it needs more than there is. It fails. Ignored if the model no longer asks.
        case refused(model: Int, reason: String)

        /// A worker is there: it can be killed, and waited for.
        case forked(WorkerID)
        /// A worker couldn't be forked. It is over.
        case forkFailed(WorkerID, reason: String)
        /// The engine couldn't carry out `send`, for a reason other than the worker's death.
        case sendFailed(WorkerID, reason: String)

        /// The worker's message `started`.
        case started(WorkerID)
        /// The worker's message `running`.
        case running(WorkerID)
        /// The worker's message `published`, complete and decoded; its table can't be read before it is sealed.
        case published(WorkerID)
        /// The table that the worker published is there though the worker lives: nobody else can change the memory that it names. Only where
        /// `mayHandOver` allows it. The worker is still to leave, and has no `seal`.
        case handedOver(WorkerID)
        /// The worker's message `done`.
        case done(WorkerID)
        /// The worker's message `failed`.
        case failed(WorkerID, WorkerError)
        /// The worker sent anything else: an unknown op, no JSON, a wrong number of descriptors, a bad descriptor.
        case misbehaved(WorkerID, reason: String)
        /// The worker took too long, in whatever stage it is. Ignored when it is over.
        case timedOut(WorkerID)
        /// The worker and everything it started are dead. It is over.
        case exited(WorkerID, Exit)

        /// The table was checked, trimmed and locked; it holds its own references to whatever it reshares.
        case tableReady(model: Int)
        /// The table of a model that `mayBeFound` was found, so that no worker is needed. It is sent only while the model asks,
        /// as seen after all events before it; the ask is withdrawn.
        case tableFound(model: Int)
        /// The table isn't what was published, or couldn't be locked. The engine has freed it.
        case tableRejected(model: Int, reason: String)
        /// The engine has dropped the references of a table to free memory; see `canDrop`. The model is run again when some
        /// reader lacks nothing but dropped tables.
        case dropped(model: Int)
    }
}
