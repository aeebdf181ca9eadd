import Scheduler
import Store

/// The results that an engine keeps from run to run, by the plan's keys: equal keys, equal tables.
///
/// It holds tables as anybody does; they go when memory is short, the cheapest to make again first.
final class ResultsCache {
    /// A kept result.
    struct Entry {
        let table: TableID
        /// The table's figures for a run's report.
        let output: RunReport.Output
    }

    private var entries: [String: Entry] = [:]
    /// What was shown of the results.
    private var previews = KeptPreviews()

    /// The result with that key.
    subscript(key: String) -> Entry? { entries[key] }

    /// Takes in a result, unless there is one with that key.
    ///
    /// - Returns: whether it was taken in.
    func add(_ entry: Entry, key: String) -> Bool {
        guard entries[key] == nil else { return false }
        entries[key] = entry
        return true
    }

    /// The keys of all results.
    var keys: [String] { Array(entries.keys) }

    /// Forgets a result and its previews; its table is the caller's to let go of.
    func remove(_ key: String) {
        if let entry = entries.removeValue(forKey: key) { previews.remove(entry.table) }
    }

    /// The text of a result's preview; nil where it is to be made.
    func preview(of entry: Entry, as format: PreviewFormat) -> String? { previews.text(of: entry.table, as: format) }

    /// Keeps the text of a table's preview, where the table is the result with that key.
    func keep(preview text: String, of table: TableID, key: String, as format: PreviewFormat) {
        if entries[key]?.table == table { previews.add(text, of: table, as: format) }
    }
}

extension Engine {
    /// Keeps a model's result for later runs.
    func keep(_ output: RunReport.Output, _ table: TableID, of model: Plan.Model, in run: Run) {
        // The columns that a scan has decoded are kept as pieces.
        guard let key = model.key,
            model.kind != "scan" || !run.options.usesDeCache
        else {
            return
        }
        if model.kind != "scan" { save(table, key: key) }
        if options.keepsResults, results.add(.init(table: table, output: output), key: key) {
            tables.retain(table, by: .result(key))
        }
    }

    /// Forgets all results and all decoded columns; tables that runs still need stay with them.
    func forgetAll() {
        for key in results.keys {
            if let entry = results[key] { tables.evict(entry.table, from: .result(key)) }
        }
        decache.removeAll()
        answerScans()
    }
}
