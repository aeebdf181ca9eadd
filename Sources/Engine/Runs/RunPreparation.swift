import Store

/// What a run needs of file systems before it begins. They may be slow, so it is found out in the background.
struct RunPreparation {
    /// What workers see of the project.
    let view: WorkerView
    /// The saved results that the run may use, by key.
    let saved: [String: SavedTable]
}

extension Engine {
    /// How long a run waits for what models needed before, in seconds: it can do without.
    private static let historySecondsMax = 0.25

    /// Prepares a run.
    ///
    /// - Parameters:
    ///   - note: is told of saved results that are no good.
    ///   - then: is called on the engine's thread.
    func prepare(
        _ plan: Plan, _ options: RunOptions, note: @escaping (String) -> Void,
        then: @escaping (RunPreparation) -> Void
    ) {
        var view: WorkerView?
        var saved: [String: SavedTable]?
        var isHistoryRead = false
        func goOn() {
            if let view, let found = saved, isHistoryRead {
                saved = nil
                then(RunPreparation(view: view, saved: found))
            }
        }
        background.begin(.prepare) { [zygoteStarter] in
            zygoteStarter.workerView(of: plan)
        } then: {
            view = $0
            goOn()
        }
        openSaved(for: plan, options, note: note) {
            saved = $0
            goOn()
        }
        func endReading() {
            if isHistoryRead { return }
            isHistoryRead = true
            goOn()
        }
        forecast.read(Set(plan.models.compactMap(\.code)), by: background, then: endReading)
        if !isHistoryRead { timers.after(seconds: Self.historySecondsMax, endReading) }
    }
}
