extension ResourceManager {
    /// What happened. The engine feeds events in the order in which it learns of them.
    ///
    /// The engine's part of the contract, which is checked by precondition where it can be:
    /// - A run asks between its `runBegan` and its `runEnded`, for each model once at a time. It ends when all its
    ///   grants are given back.
    /// - Each grant is given back once, after its worker is over and its tables, if there are any, were reported (`tableHeld`).
    /// - Each `evict` is answered once, by `evicted` or `evictionFailed`, also if the table is gone meanwhile (either answer will
    ///   do then).
    /// - Each `shrinkPool` is answered by one `pool`, also if nothing could be freed, with no more bytes than were last reported.
    ///   Growth in the meantime is reported in a `pool` of its own, before or after. All other `pool` events report changes only.
    /// - A table that was dropped is gone by its `evicted`; the asks of models that read it are void from then on, and
    ///   may or may not be `withdrawn`. They are asked anew when the table is there again.
    public enum Event: Equatable, Sendable {
        /// A run begins: whether it gives way to interactive runs, how many slots it may use at most, and its own
        /// memory limit in bytes.
        case runBegan(RunID, priority: Int, slots: Int, memoryBytesMax: Int?)
        /// A run is over. Its asks are void. Tables that it owned and that aren't gone stay, and are nobody's.
        case runEnded(RunID)

        /// A model could start.
        case asked(Ask)
        /// A model that asks and has no grant no longer wants to start. Ignored if its ask is void already. A grant that was on
        /// its way is given back as any other, or answers the model's next ask.
        case withdrawn(RunID, model: Int)
        /// A model that was granted is over, and so is its worker.
        case givenBack(RunID, model: Int)
        /// The memory that a granted model's worker uses now, in bytes, as measured; the pages of its output segment included.
        case used(RunID, model: Int, bytes: Int)

        /// A granted model doesn't get on: it has hardly used the processor for some time, or has had its slot for long while another run
        /// had none. Its slot is not taken away, but a run that has none is lent one more. Ignored if it is over.
        case stalled(RunID, model: Int)
        /// A model that was stalled gets on. Ignored if it is over.
        case progressing(RunID, model: Int)

        /// A table is there, complete; or the figures of one that is there have changed.
        case tableHeld(TableKey, TableFacts)
        /// A table was read, or its next reader is known better: how many models of its run are granted before that one. Ignored
        /// if the table is gone.
        case tableUsed(TableKey, nextUse: Int?)
        /// A table is no more: nobody needs it. Ignored if it is gone already.
        case tableGone(TableKey)

        /// An eviction is done: so many bytes of memory were freed in fact.
        case evicted(TableKey, Way, bytesFreed: Int)
        /// An eviction came to nothing; the table is as it was. This way isn't tried again with this table.
        case evictionFailed(TableKey, Way)
        /// A table that was evicted, and not dropped, has so many bytes in memory now. Ignored if the table is gone.
        case restored(TableKey, bytes: Int)

        /// The pool has so many bytes in free segments.
        case pool(bytes: Int)
        /// How fast memory can be moved.
        case measured(Rates)
    }

    /// The orders that the engine carries out.
    public enum Action: Equatable, Sendable {
        /// Start the model, with this much memory. Its inputs are pinned until it is given back.
        case grant(RunID, model: Int, Scheduler.Grant)
        /// Evict a table, which no granted model reads. Answered by `evicted` or `evictionFailed`.
        case evict(TableKey, Way)
        /// Free as much of the pool as is above this many bytes. Answered by `pool`.
        case shrinkPool(bytesMax: Int)
        /// The model can't run within its limits: it fails. Its ask is void.
        case refuse(RunID, model: Int, Refusal)
    }

    /// A model that could start.
    public struct Ask: Equatable, Sendable {
        /// Its run.
        public var run: RunID
        /// Its index in the run's graph.
        public var model: Int
        /// How urgent it is within its run; the lowest comes first.
        public var rank: Int
        /// How much memory its worker is expected to need, in bytes, with the table that it makes.
        public var expectedBytes: Int
        /// The model's own hard limit in bytes, nil for none.
        public var memoryBytesMax: Int?
        /// The tables it reads, which are all there. One may appear several times.
        public var inputs: [TableKey]
        /// Whether its worker was killed for memory before: the model is then granted all there is, alone.
        public var isRetry: Bool
        /// How long it is expected to run, nil if that isn't known. No eviction that costs more than half of that is made to
        /// start it while something else runs.
        public var expectedSeconds: Double?

        /// An ask.
        public init(
            run: RunID, model: Int, rank: Int, expectedBytes: Int, memoryBytesMax: Int? = nil, inputs: [TableKey] = [],
            isRetry: Bool = false, expectedSeconds: Double? = nil
        ) {
            self.run = run
            self.model = model
            self.rank = rank
            self.expectedBytes = expectedBytes
            self.memoryBytesMax = memoryBytesMax
            self.inputs = inputs
            self.isRetry = isRetry
            self.expectedSeconds = expectedSeconds
        }
    }

    /// Why a model can't run.
    public struct Refusal: Error, Equatable, Sendable {
        /// The scope of a limit.
        public enum Limit: Equatable, Sendable {
            /// The run's.
            case run
            /// The engine's.
            case engine
        }

        /// The limit that is too low for the model.
        public let whose: Limit
        /// That limit in bytes.
        public let limitBytes: Int
        /// How much of it the model's inputs take up, in bytes.
        public let inputBytes: Int
        /// The bytes under that limit that can't be evicted, the inputs aside.
        public let fixedBytes: Int
        /// The bytes that the model was expected to need beside its inputs.
        public let expectedBytes: Int

        /// A refusal; only a manager makes one that means something.
        public init(whose: Limit, limitBytes: Int, inputBytes: Int, fixedBytes: Int, expectedBytes: Int) {
            self.whose = whose
            self.limitBytes = limitBytes
            self.inputBytes = inputBytes
            self.fixedBytes = fixedBytes
            self.expectedBytes = expectedBytes
        }
    }
}
