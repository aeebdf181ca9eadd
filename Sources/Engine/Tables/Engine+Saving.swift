import Store
import System

/// How results get into the folder of saved results, and out of it.
extension Engine {
    /// The result with that key: one kept in memory, or a saved one that was found to be whole.
    func result(_ key: String, _ whole: [String: SavedTable]) -> ResultsCache.Entry? {
        results[key] ?? whole[key].map { add($0, key) }
    }

    /// Takes in a saved result that was found to be whole.
    private func add(_ saved: SavedTable, _ key: String) -> ResultsCache.Entry {
        let table = store.take(saved)
        var counts = ByteCounts()
        counts.resharedBytes = UInt64(store.namedBytes(of: table))
        let entry = ResultsCache.Entry(
            table: table, output: RunReport.Output(rows: Int64(clamping: saved.rows), counts: counts))
        tables.add(table, by: .result(key), seconds: 0)
        _ = results.add(entry, key: key)
        return entry
    }

    /// Saves a model's result for later engines, on a thread of its own.
    func save(_ table: TableID, key: String) {
        guard let saved, let work = saved.beginSave(table, key: key, of: store) else { return }
        tables.retain(table, by: .save(key))
        background.begin(.save) { () -> StoreError? in
            do throws(StoreError) {
                try work.write()
                saved.prune()
                return nil
            } catch {
                return error
            }
        } then: { [weak self] error in
            guard let self else { return }
            store.finishSave(work)
            endSave(of: table, key)
            // A table that would be much larger on a disk is no fault of anybody's.
            if let error, error.code != .unsuitable { note(once: "results are not saved", error) }
        }
    }

    /// Ends the saving of a table, whatever came of it. If an eviction waited for that, it goes on or has become needless.
    private func endSave(of table: TableID, _ key: String) {
        guard let holding = tables[table] else { preconditionFailure("a table that is being saved is held") }
        let way = holding.waitingEviction
        tables.setWaitingEviction(nil, of: table)
        let isLast = holding.holders.count == 1
        if let way, isLast { tell(.evictionFailed(holding.key, way)) }
        tables.releaseIfHeld(table, by: .save(key))
        if let way, !isLast { mover.evict(holding.key, way) }
    }

    /// How long the end waits for another process that has the history locked, in seconds.
    private static let historySecondsMax = 0.5

    /// Waits until all results are saved, and for a moment for the history; or until a signal comes. A save that isn't finished
    /// then leaves nothing behind.
    public func finishBackgroundWrites(unless signals: SignalDescriptor, note: (String) -> Void) {
        var isInterrupted = false
        let watch = Watch(signals.raw) { _ in
            while (try? signals.next()) != nil { isInterrupted = true }
        }
        forecast.save(by: background)
        let historyDeadline = Deadline.after(seconds: Self.historySecondsMax)
        while !isInterrupted {
            let isWriting = forecast.isWriting && MonotonicClock.nanoseconds() < historyDeadline
            guard background.count(of: .save) > 0 || isWriting else { break }
            waitAndHandle(beside: [watch])
        }
        for text in notes.takePending() + forecast.takeNotes() { note(text) }
        let count = forecast.unwrittenCount
        if count > 0, !isInterrupted {
            note("what \(count) models needed is not remembered: another process has the history locked")
        }
    }
}
