/// Shares one machine's slots and memory among all runs: who may start, and which tables have to give way.
///
/// Pure, as the scheduler is: facts in, actions out; no input or output, no clock. There is one for all runs of an
/// engine. Each run's scheduler asks for its models; the engine tells what workers use, which tables there are and what
/// became of evictions.
///
/// **Slots.** Runs of a higher priority come first, but after `streakMax` grants to the highest while one of a lower priority waits, one
/// of those is served: the one that was served longest ago, so that each has its turn. Among runs of one priority the one that uses the
/// fewest slots comes first, then the one that was served longest ago; within a run the lowest rank. A slot is idle only if nobody asks for it, or if what is asked for
/// doesn't fit into memory.
///
/// **Lent slots.** A model that doesn't get on keeps its slot: nobody knows whether it will. But a run that has no slot is lent one more
/// while fewer models get on than there are slots. So no run waits for ever for models that never end, those that get on are never more than
/// there are slots but for one that was stalled and goes on, and a run has no more of it than its one model. A lent slot
/// comes back by itself: as long as more models are granted than there are slots, no grant is given that isn't lent. A model
/// that was granted all memory, and doesn't get on while others wait, keeps twice what it uses, and they get the rest.
///
/// **Memory.** Two limits hold, the engine's and the run's. What counts against them is what is *reserved* and what is
/// *held*, nothing twice:
/// - a granted model counts what it is expected to need, or what it uses if that is more, less the tables it has made:
///   they count for themselves from `tableHeld` on;
/// - a table counts against the run that owns it with the bytes that it has in memory; while a granted model reads it,
///   with all its bytes, since those that were evicted come back when they are read;
/// - caches, which no run owns, and the pool of free segments count against the engine alone.
///
/// No grant is given that would pass a limit. A model that needs more than it was expected to can't be foreseen: its
/// excess counts at once, other tables give way to it, nobody is admitted meanwhile, and the control groups see to it
/// that the limit isn't passed in fact.
///
/// **What doesn't fit.** First the pool is shrunk, then tables are evicted that no granted model reads, the cheapest
/// ones (`EvictionCost`) and no more than is needed. Only one ask at a time has room made for it, and it gets that
/// room. Smaller asks may pass one that doesn't fit `overtakesMax` times; then whatever shares the limit waits for it.
/// An ask that expects more than there can ever be is granted all that there can be, alone; so is the retry of a model
/// that was killed for memory. If not even the inputs of a model fit, it is refused.
///
/// **Why this ends.** While models get on or evictions are under way, something happens by itself. Of stalled models nothing is expected, but
/// that they keep what they use: what doesn't fit beside it waits for their end. When nothing runs, no
/// table is pinned, so that all of them can be evicted but those for which every way has failed; what can be had then
/// is what asks are clamped to. A table that was dropped and made again is dropped again before it was read only if
/// nothing else is left (see `Phase`), and at most `dropsMax` times, so that two runs can't undo each other's work for
/// ever.
public struct ResourceManager: Sendable {
    /// Names a run as long as the engine has it; the caller chooses it.
    public typealias RunID = Int

    /// The slots and the memory that all runs share.
    public struct Limits: Equatable, Sendable {
        /// How much memory all runs, caches and the pool may have together, in bytes; nil for no limit.
        public var memoryBytesMax: Int?
        /// How many models may run at once.
        public var slots: Int
        /// Below this many bytes no worker can do anything: a model is refused rather than granted less.
        public var workerBytesMin: Int
        /// Whether a spilled table takes up memory again when it is read. It doesn't where workers map the spill file
        /// itself.
        public var spilledComesBack: Bool

        /// Limits; slots are at least 1.
        public init(memoryBytesMax: Int?, slots: Int, workerBytesMin: Int = 1, spilledComesBack: Bool = true) {
            precondition(slots >= 1, "an engine needs a slot")
            precondition(memoryBytesMax ?? 1 > 0, "an engine needs memory")
            precondition(workerBytesMin >= 1, "a worker needs memory")
            self.memoryBytesMax = memoryBytesMax
            self.slots = slots
            self.workerBytesMin = workerBytesMin
            self.spilledComesBack = spilledComesBack
        }
    }

    /// How many grants in a row go to runs of the highest priority while one of a lower priority waits.
    public static let streakMax = 4
    /// How often an ask that doesn't fit may be passed by others.
    public static let overtakesMax = 4
    /// How often in a row a table that nobody has read may be dropped again to have room for a model that can't be
    /// granted all it expects.
    public static let dropsMax = 8

    /// No figure of memory counts as more, in bytes: sums of what users ask for, and of what damaged files claim, don't overflow.
    static let bytesMax = 1 << 52

    /// What there is to share.
    public let limits: Limits
    /// How tables are chosen for eviction.
    public let policy: Policy

    var rates = Rates()
    var runs: [RunID: RunState] = [:]
    var grants: [ModelKey: GrantState] = [:]
    var tables: [TableKey: TableState] = [:]
    var ledger = Ledger()
    /// Evictions that were asked for and not answered yet.
    var evictions: [TableKey: Eviction] = [:]
    /// How many granted models read each table.
    var pins: [TableKey: Int] = [:]
    /// How often each table was dropped since it was last read.
    var drops: [TableKey: Int] = [:]
    var pool = Pool()
    /// The ask that room is being made for.
    var claim: ModelKey?
    /// The phase in which that ask got its claim.
    var claimPhase = Phase.normal
    /// Counts grants and uses of tables; the manager knows no other time.
    var clock = 0
    /// Grants that went to interactive runs since a batch run had one, or since none was waiting.
    var streak = 0
    /// The actions that the events at hand have led to so far.
    var actions: [Action] = []

    /// A manager that knows of no run and no table.
    public init(limits: Limits, policy: Policy = .adaptive) {
        self.limits = Limits(
            memoryBytesMax: limits.memoryBytesMax.map { min($0, Self.bytesMax) }, slots: limits.slots,
            workerBytesMin: min(limits.workerBytesMin, Self.bytesMax), spilledComesBack: limits.spilledComesBack)
        self.policy = policy
    }

    /// Takes in one fact and gives back what is to be done now, in this order. Traps if the engine breaks the contract
    /// of `Event`.
    public mutating func handle(_ event: Event) -> [Action] { handle(CollectionOfOne(event)) }

    /// Takes in facts that belong together, in their order, before anything is decided: memory that goes from a worker
    /// to a table and to the pool would count twice or not at all in between.
    public mutating func handle(_ events: some Sequence<Event>) -> [Action] {
        for event in events { note(event) }
        relieve()
        while admitNext() {}
        defer { actions = [] }
        return actions
    }

    private mutating func note(_ event: Event) {
        switch event {
        case .runBegan(let run, let priority, let slots, let memoryBytesMax):
            runBegan(run, priority, slots, memoryBytesMax)
        case .runEnded(let run): runEnded(run)
        case .asked(let ask): asked(ask)
        case .withdrawn(let run, let model): withdrawn(ModelKey(run, model))
        case .givenBack(let run, let model): givenBack(ModelKey(run, model))
        case .used(let run, let model, let bytes): used(ModelKey(run, model), bytes)
        case .stalled(let run, let model): stalled(ModelKey(run, model))
        case .progressing(let run, let model): grants[ModelKey(run, model)]?.isStalled = false
        case .tableHeld(let key, let table): tableHeld(key, table)
        case .tableUsed(let key, let nextUse): tableUsed(key, nextUse)
        case .tableGone(let key): tableGone(key)
        case .evicted(let key, let way, let bytesFreed): evicted(key, way, bytesFreed)
        case .evictionFailed(let key, let way): evictionFailed(key, way)
        case .restored(let key, let bytes): restored(key, bytes)
        case .pool(let bytes): poolChanged(bytes)
        case .measured(let rates): self.rates = rates
        }
    }
}
