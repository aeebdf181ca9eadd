import Store
import System

/// Results of models that need not be run again: by a key that stands for code, environment, parameters and inputs.
///
/// Used on the engine's thread alone.
final class ResultCache {
    /// One result.
    struct Entry {
        /// The table; the cache holds it.
        let table: TableID
        /// Rows of the table.
        let rows: Int64
        /// Bytes of the table's buffers.
        let bytes: UInt64
        /// How long the model ran.
        let wallMilliseconds: Double
    }

    private var entries: [String: Entry] = [:]
    private var keys: [TableID: String] = [:]

    /// How many results there are.
    var count: Int { entries.count }

    /// The result with that key.
    func find(_ key: String) -> Entry? { entries[key] }

    /// Takes a result in; false when there is one of that key already.
    func insert(_ entry: Entry, _ key: String) -> Bool {
        guard entries[key] == nil else { return false }
        entries[key] = entry
        keys[entry.table] = key
        return true
    }

    /// Forgets the result that is this table; false when it is none.
    func remove(_ table: TableID) -> Bool {
        guard let key = keys.removeValue(forKey: table) else { return false }
        entries[key] = nil
        return true
    }
}
