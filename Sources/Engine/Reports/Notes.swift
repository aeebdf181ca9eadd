/// What the engine has to say that belongs to no run: every observer hears it once, and who comes when nobody observes, at the end.
final class Notes {
    /// The kinds of notes that observers have heard and need not hear again.
    private var alreadyReported: Set<String> = []
    /// Notes that arose while no run was observing, printed when the command ends.
    private var pending: [String] = []

    /// Tells the observers of all runs, the first time that something of the kind happens.
    func add(once kind: String, _ reason: String, to runs: [Run]) {
        guard alreadyReported.insert(kind).inserted else { return }
        if runs.isEmpty { pending.append("\(kind): \(reason)") }
        for run in runs { run.observer?.note("\(kind): \(reason)") }
    }

    /// The notes that nobody has heard; they count as heard now.
    func takePending() -> [String] {
        defer { pending = [] }
        return pending
    }
}
