import Scheduler

/// The user of the resource manager, which decides about the user's models and tables.
protocol ResourceUser: AnyObject {
    /// Handles the next event of a run, or answers a run that waits for another one's scan.
    ///
    /// - Returns: false when there was nothing to handle.
    func handleNextEvent() -> Bool
    /// Carries out an action of the resource manager.
    func perform(_ action: ResourceManager.Action)
}

/// The way between the engine and the pure resource manager, which says who may run and which tables go when memory is short.
///
/// Owns the manager, the facts that it doesn't have yet, and its actions that aren't carried out yet. Used on the engine's thread.
final class ResourceBridge {
    /// The object that carries out actions; set once, before the first event.
    weak var user: (any ResourceUser)?

    private var resources: ResourceManager
    /// The facts that the manager does not have yet.
    private var pendingFacts: [ResourceManager.Event] = []
    /// The manager's actions that were not carried out yet, in order.
    private var pendingActions: [ResourceManager.Action] = []
    private var isDraining = false
    /// The size of the pool that was last reported to the manager, in bytes.
    private var reportedPoolBytes = 0

    init(_ limits: ResourceManager.Limits) { resources = ResourceManager(limits: limits) }

    /// The runs that want a slot and have none.
    var runsWithoutSlot: [ResourceManager.RunID] { resources.runsWithoutSlot }

    /// The models that have slots.
    var grantedModels: [ResourceManager.ModelKey] { resources.grantedModels }

    /// Passes a fact to the resource manager, and has its actions carried out; facts that arise meanwhile follow in order.
    func tell(_ fact: ResourceManager.Event) {
        pendingFacts.append(fact)
        drain()
    }

    /// Reports how much memory is kept for later outputs, in bytes, if that has changed.
    func tellPool(_ bytes: Int) {
        if bytes != reportedPoolBytes { answerPool(bytes) }
    }

    /// Answers `shrinkPool`, also if nothing was freed.
    func answerPool(_ bytes: Int) {
        reportedPoolBytes = bytes
        tell(.pool(bytes: bytes))
    }

    /// Handles the events of the runs and of the resource manager, and carries out what they lead to, until none is left.
    ///
    /// The runs come first, so that an action finds each scheduler as it is after all events so far.
    func drain() {
        guard !isDraining else { return }
        isDraining = true
        defer { isDraining = false }
        while true {
            if user?.handleNextEvent() == true { continue }
            if !pendingActions.isEmpty {
                user?.perform(pendingActions.removeFirst())
            } else if !pendingFacts.isEmpty {
                // Every pending fact is passed in one call. One occurrence (say, a worker's death) yields several facts, such as
                // "grant returned" and "table exists"; deciding between two of them would count the same memory twice, or not at all.
                let facts = pendingFacts
                pendingFacts = []
                pendingActions = resources.handle(facts)
            } else {
                return
            }
        }
    }
}
