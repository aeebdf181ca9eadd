extension Scheduler {
    /// What the scheduler knows of one model.
    struct ModelState: Sendable {
        enum Phase: Equatable, Sendable {
            /// Some input has no table.
            case waiting
            /// All inputs are held; it waits for its zygote or for a grant.
            case queued
            /// It has a grant, and a worker.
            case granted
            /// Its worker is over, its table is being locked. It still has its grant.
            case sealing
            /// It has a status.
            case settled(ModelStatus)
        }

        enum Table: Sendable {
            /// Not made yet, or being made.
            case none
            /// Readers can be sent it.
            case held
            /// It is not there, and some model that needs its inputs reads it: it is made again when it is demanded.
            case owed
            /// It was released or was never needed, and no model that needs its inputs reads it.
            case gone
        }

        var phase = Phase.waiting
        var table: Table
        /// Whether it is counted in `readersLeft` of its inputs: it isn't settled, or its table is owed.
        var needsInputs: Bool
        /// Distinct inputs whose table isn't held. Counts while it isn't settled.
        var inputsMissing: Int
        /// The part of `inputsMissing` whose table is owed. If that is all of it, these tables are demanded.
        var inputsOwed = 0
        /// Distinct inputs that were never granted and don't come from a cache. At zero a worker may be forked ahead.
        var inputsUngranted: Int
        /// Distinct inputs that neither were granted nor could be as soon as there is a slot: some input of theirs was never granted. At zero
        /// a worker may be forked far ahead.
        var inputsFar: Int
        /// Distinct readers that need their inputs; each may have the table mapped.
        var readersLeft: Int
        /// Distinct readers that have a grant.
        var readersGranted = 0
        /// Whether it has asked, and has no answer yet.
        var isAsking = false
        /// The memory it was granted, nil once it has given the grant back.
        var grant: Grant?
        /// True once it no longer counts in its readers' `inputsUngranted`: it was granted, or its table was cached or found.
        var wasGranted: Bool
        /// Whether a worker of it had too little memory since it was last to be run.
        var wasRetried = false
        /// Whether that worker had a grant.
        var isRetry = false
        /// The status it had before it was to run again, which it keeps unless it fails.
        var earlierStatus: ModelStatus?
        /// Its worker, from the fork action until the worker is over, or is another model's. A waiting or queued model has one if it was
        /// forked ahead.
        var worker: WorkerState?

        var isSettled: Bool {
            if case .settled = phase { true } else { false }
        }

        /// Whether it is settled, and nothing was wrong.
        var isDone: Bool {
            if case .settled(let status) = phase { status.isDone } else { false }
        }

        /// Whether it has no status yet and none is decided either.
        var isOpen: Bool {
            !isSettled && worker?.ending == nil
        }

        /// Whether its worker has delivered.
        var hasResult: Bool {
            phase == .sealing || worker?.phase == .delivered || worker?.phase == .leaving
        }

        /// Whether it was to run again and won't: its worker has yet to die, and then it has its earlier status and no table.
        var isCalledOff: Bool {
            earlierStatus != nil && worker?.ending == earlierStatus
        }
    }

    /// What the scheduler knows of one worker that isn't over.
    struct WorkerState: Sendable {
        enum Phase: Equatable, Sendable {
            /// It has not said that it started.
            case starting
            /// It waits for its inputs.
            case idle
            /// It was given its inputs.
            case sent
            /// It said that it runs.
            case running
            /// Its result arrived. Nothing but a further message can spoil that.
            case delivered
            /// Its table is there, and may have been read: nothing can spoil it. It has yet to die.
            case leaving
            /// It had too little memory; its model gets another one when it is dead.
            case retrying
            /// Its model's status is decided, and waits for its death.
            case ending(ModelStatus)
        }

        let id: WorkerID
        var phase = Phase.starting
        /// Whether `forked` has come, so that the engine can kill it.
        var isForked = false
        /// Whether it must die. The kill action is given at once if it is forked, else as soon as it is.
        var isDoomed = false

        /// Whether another model could have it.
        var isUnused: Bool { !isDoomed && (phase == .starting || phase == .idle) }

        /// Whether it could be sent inputs now.
        var isReady: Bool { isForked && !isDoomed && phase == .idle }

        var ending: ModelStatus? {
            if case .ending(let status) = phase { status } else { nil }
        }

        /// How far it has come, for a failure's message.
        var stage: Stage {
            switch phase {
            case .starting: .starting
            case .idle: .idle
            case .sent: .opening
            case .running, .delivered, .leaving, .retrying, .ending: .running
            }
        }
    }

    /// What the scheduler knows of one environment.
    struct EnvironmentState: Sendable {
        enum Zygote: Sendable {
            /// No model of it was to run yet.
            case cold
            case starting, ready
            case dead
        }

        var zygote = Zygote.cold
        /// Ranks of queued models that wait for the zygote.
        var queued: [Int] = []
        /// Ranks of models for which a worker may be forked ahead, or far ahead, once the zygote is ready.
        var ahead: [Int] = []
        var farAhead: [Int] = []
        /// Models that a worker was forked for before they were granted. Those that have none, or are granted, are taken out when somebody looks.
        var forkedAhead: [Int] = []
    }
}
