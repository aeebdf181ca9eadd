extension ResourceManager {
    /// Sums of one limit's scope, in bytes.
    struct Sums: Sendable {
        /// Bytes that grants have reserved and tables hold.
        var charged = 0
        /// Bytes that evictions under way are going to free.
        var leaving = 0
        /// Bytes of tables that can't be evicted.
        var fixed = 0
        /// The part of `fixed` that stays until the run ends.
        var kept = 0
    }

    /// The sums that count against the engine's limit.
    struct Ledger: Sendable {
        var sums = Sums()
    }

    /// What the manager knows of one run.
    struct RunState: Sendable {
        /// Runs of a higher one are served first.
        let priority: Int
        let slots: Int
        let memoryBytesMax: Int?
        /// Slots that its models hold.
        var used = 0
        /// How often one of its models was granted.
        var grantCount = 0
        /// The clock at the latest of these grants.
        var servedAt = 0
        var sums = Sums()
        /// Its asks by rank.
        private(set) var asks: [AskState] = []
        /// The rank of each model that asks.
        private(set) var ranks: [Int: Int] = [:]

        mutating func insert(_ ask: Ask) {
            ranks[ask.model] = ask.rank
            asks.insert(AskState(ask: ask), at: firstIndex(from: ask.rank + 1))
        }

        mutating func remove(_ model: Int) {
            guard let index = index(of: model) else { return }
            asks.remove(at: index)
            ranks[model] = nil
        }

        mutating func overtake(_ model: Int) {
            if let index = index(of: model) { asks[index].overtakes += 1 }
        }

        func index(of model: Int) -> Int? {
            guard let rank = ranks[model] else { return nil }
            return asks[firstIndex(from: rank)...].firstIndex { $0.ask.model == model }
        }

        private func firstIndex(from rank: Int) -> Int {
            var low = 0
            var high = asks.count
            while low < high {
                let middle = (low + high) / 2
                if asks[middle].ask.rank < rank { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    /// A model that waits for its grant.
    struct AskState: Sendable {
        let ask: Ask
        /// How often others were granted though it would have been its turn.
        var overtakes = 0

        var key: ModelKey { ModelKey(ask.run, ask.model) }
    }

    /// A model that was granted, and isn't over.
    struct GrantState: Sendable {
        let ask: Ask
        /// The tables it reads, each once.
        let inputs: [TableKey]
        /// The bytes reserved for it: those it was expected to need, or all there were.
        var reserved: Int
        /// Whether these were all there were: as a retry gets them, or a model that is expected to need more.
        let hasAll: Bool
        /// The most that it can use, nil if nothing limits it.
        let memoryBytesMax: Int?
        /// The bytes it uses, as last measured.
        var used = 0
        /// Whether its model withdrew its ask while the grant was on its way.
        var isCrossed = false
        /// Bytes of the tables that it has made: they count for themselves.
        var handedOver = 0
        /// Whether it keeps its slot without getting on.
        var isStalled = false

        /// The bytes that it counts with.
        var bytes: Int { max(0, max(reserved, used) - handedOver) }
    }

    /// Changes the bytes that a grant counts with.
    mutating func charge(_ bytes: Int, run: RunID?) {
        ledger.sums.charged += bytes
        if let run { runs[run]?.sums.charged += bytes }
    }

    /// Recomputes the bytes that a table counts with; called after anything about it has changed.
    mutating func recount(_ key: TableKey) {
        guard let state = tables[key] else { return }
        var counted = Counted()
        counted.run = state.table.owner.flatMap { runs[$0] == nil ? nil : $0 }
        counted.bytes = pins[key] == nil ? state.residentBytes : bytesWhenRead(state)
        counted.fixedBytes = waysLeft(key, state, .squeeze).isEmpty ? state.residentBytes : 0
        counted.keptBytes = state.nextUseAt == nil ? counted.fixedBytes : 0
        count(counted, instead: state.counted)
        tables[key]!.counted = counted
    }

    /// Puts one figure in the place of another in all sums.
    mutating func count(_ new: Counted, instead old: Counted) {
        ledger.sums.charged += new.bytes - old.bytes
        ledger.sums.fixed += new.fixedBytes - old.fixedBytes
        if let run = old.run {
            runs[run]?.sums.charged -= old.bytes
            runs[run]?.sums.fixed -= old.fixedBytes
            runs[run]?.sums.kept -= old.keptBytes
        }
        if let run = new.run {
            runs[run]?.sums.charged += new.bytes
            runs[run]?.sums.fixed += new.fixedBytes
            runs[run]?.sums.kept += new.keptBytes
        }
    }

    /// How much memory a table takes up while it is read.
    func bytesWhenRead(_ state: TableState) -> Int {
        if state.evictedBy.contains(.spill), !limits.spilledComesBack { return state.residentBytes }
        return max(state.table.bytes, state.residentBytes)
    }

    /// How a table can still be evicted.
    ///
    /// A table that was dropped and made again isn't dropped once more before it was read, beyond the drops that the phase
    /// allows: its reader might never find it otherwise.
    func waysLeft(_ key: TableKey, _ state: TableState, _ phase: Phase) -> Set<Way> {
        guard state.residentBytes > 0 else { return [] }
        var ways = state.table.ways.subtracting(state.failed).subtracting(state.evictedBy)
        if state.table.recomputeSeconds == nil || drops[key] ?? 0 > phase.dropsMax {
            ways.remove(.drop)
        }
        return ways
    }
}
