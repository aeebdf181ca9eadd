import Scheduler
import Store

/// Scans whose whole results several runs want: which model makes each, which wait for it, and its table as long as a run holds it.
///
/// Two scans with the same key (see `Plan.Model.key`) have equal tables. One of them at a time uses a grant: the others' asks
/// are withdrawn, or not passed on, until it is over, so that nobody waits in a slot. They then share its table without a worker,
/// or, if there is none, ask anew. This cannot deadlock: a run only ever waits for the run that makes the scan, and that one already
/// holds a grant, so it waits for nobody.
///
/// It keeps table numbers only. It does not keep tables alive: an entry disappears when the last run that uses the table
/// releases it. Decoded columns that survive runs are kept by `DeCache`.
final class SharedScans {
    /// A run's ask for a grant.
    struct Ask: Equatable {
        var run: Int
        var model: Int
        var rank: Int
        var isRetry: Bool

        var owner: ResourceManager.ModelKey { .init(run, model) }
    }

    /// A scan's table.
    struct Result {
        let table: TableID
        /// The table's figures for a run's report.
        let output: RunReport.Output
        /// The number of units (columns of row groups) that it has.
        let units: Int64
    }

    /// The answer to a grant.
    enum Decision: Equatable {
        /// Pass it on. These other asks are for the same scan, and wait from now on: they are to be withdrawn.
        case begin(waiting: [Ask])
        /// Give it back: another model makes the scan, and this one waits.
        case wait
    }

    private struct Scan {
        /// The model that has a grant for it.
        var maker: ResourceManager.ModelKey?
        /// The asks that were passed to the resource manager.
        var asking: [Ask] = []
        /// The asks that wait for the maker.
        var waiting: [Ask] = []

        var isEmpty: Bool { maker == nil && asking.isEmpty && waiting.isEmpty }
    }

    private var scans: [String: Scan] = [:]
    private var results: [String: Result] = [:]
    /// The key that each table is shared under.
    private var keys: [TableID: String] = [:]
    /// The asks that wait for nobody any more, in the order of asking.
    private var woken: [(ask: Ask, key: String)] = []

    // MARK: Asks

    /// Takes in a run's ask for a scan.
    ///
    /// - Returns: whether the resource manager is to be asked now; else `takeWoken` gives the ask when its time has come.
    func ask(_ ask: Ask, key: String) -> Bool {
        if results[key] != nil {
            woken.append((ask, key))
            return false
        }
        if scans[key]?.maker != nil, !ask.isRetry {
            scans[key]!.waiting.append(ask)
            return false
        }
        scans[key, default: Scan()].asking.append(ask)
        return true
    }

    /// A model doesn't ask any more.
    func withdraw(_ owner: ResourceManager.ModelKey, key: String) {
        woken.removeAll { $0.ask.owner == owner }
        scans[key]?.asking.removeAll { $0.owner == owner }
        scans[key]?.waiting.removeAll { $0.owner == owner }
        removeIfEmpty(key)
    }

    /// A grant has come for a model that asks.
    func grant(_ owner: ResourceManager.ModelKey, key: String) -> Decision {
        var scan = scans[key] ?? Scan()
        guard let place = scan.asking.firstIndex(where: { $0.owner == owner }) else {
            // The ask was withdrawn while the grant was on its way.
            return .wait
        }
        let ask = scan.asking.remove(at: place)
        defer { scans[key] = scan }
        if scan.maker != nil {
            // A retry, which is to have all memory for itself, waits for nobody.
            if ask.isRetry { return .begin(waiting: []) }
            scan.waiting.append(ask)
            return .wait
        }
        scan.maker = owner
        let waiting = scan.asking.filter { !$0.isRetry }
        scan.asking.removeAll { !$0.isRetry }
        scan.waiting += waiting
        return .begin(waiting: waiting)
    }

    /// A model has given back its grant: if it made the scan, those who waited for it wait no more.
    func end(_ owner: ResourceManager.ModelKey, key: String) {
        guard scans[key]?.maker == owner else { return }
        scans[key]!.maker = nil
        woken += scans[key]!.waiting.map { ($0, key) }
        scans[key]!.waiting = []
        removeIfEmpty(key)
    }

    /// The next one that waits no more: it shares the result, if there is one, or asks anew.
    func takeWoken() -> (ask: Ask, result: Result?, key: String)? {
        guard !woken.isEmpty else { return nil }
        let (ask, key) = woken.removeFirst()
        return (ask, results[key], key)
    }

    private func removeIfEmpty(_ key: String) {
        if scans[key]?.isEmpty == true { scans[key] = nil }
    }

    // MARK: Results

    /// A scan's table is there, and a run holds it. An earlier one is forgotten.
    func add(_ result: Result, key: String) {
        results[key] = result
        keys[result.table] = key
    }

    /// No run holds the table any more. Nothing happens where another one has taken its place.
    func forget(_ table: TableID) {
        guard let key = keys.removeValue(forKey: table) else { return }
        if results[key]?.table == table { results[key] = nil }
    }
}

extension Plan.Model {
    /// The key that the model's scan is shared under; nil if it shares only columns, or nothing. An engine of one run has no two
    /// equal scans.
    func sharedKey(_ options: RunOptions, _ engine: EngineOptions) -> String? {
        engine.keepsResults && mayShareScan(options) ? key : nil
    }
}
