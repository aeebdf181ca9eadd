import Glibc

/// An observer of a run: the command line's progress, or a test.
///
/// Called on the engine's thread, in the order of events; it must return quickly.
public protocol RunObserver: AnyObject {
    /// The run's models, before anything starts.
    func runBegan(_ plan: Plan)
    /// A model's worker has been asked for.
    func modelStarted(_ model: String)
    /// A model has its final status, and a report.
    func modelEnded(_ model: RunReport.Model, failure: String?)
    /// Lines that user code printed, in order.
    func printed(_ model: String, lines: [String])
    /// The engine has a message for the user.
    func note(_ text: String)
    /// A final table, where the run's options want them to be handed over. It is locked against changes.
    func handedOver(_ table: HandedTable)
    /// The memory held now; about twice a second.
    func memory(_ status: MemoryStatus)
    /// About ten times a second while the run lasts.
    func tick()
    /// A signal stops the run.
    func noteStop(by signal: Int32)
}

extension RunObserver {
    /// Says that a signal stops the run.
    public func noteStop(by signal: Int32) {
        note("\(signal == SIGINT ? "interrupted" : "terminated"): stopping all models")
    }

    /// Nothing to do: the table is given back at once.
    public func handedOver(_ table: HandedTable) {}

    /// Nothing to do.
    public func memory(_ status: MemoryStatus) {}

    /// Nothing to do.
    public func tick() {}
}
