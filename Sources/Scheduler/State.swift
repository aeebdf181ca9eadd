extension Scheduler {
    /// What the scheduler knows of one model.
    struct ModelState: Sendable {
        enum Phase: Equatable, Sendable {
            /// Some input has no table yet.
            case waiting
            /// All inputs are ready; it waits for its zygote or for a slot.
            case queued
            /// It holds a slot, and has a worker.
            case assigned
            /// Its worker is over, its table is being locked. It still holds its slot.
            case sealing
            /// It has its final status.
            case settled(ModelStatus)
        }

        enum Table: Sendable {
            case none, held, released
        }

        var phase = Phase.waiting
        var table = Table.none
        /// Distinct inputs whose table isn't ready.
        var inputsMissing: Int
        /// Distinct inputs that were never given a slot. At zero a worker may be forked ahead.
        var inputsUnassigned: Int
        /// Distinct readers that aren't settled; each may have the table mapped.
        var readersLeft: Int
        /// Its worker, from the fork action until the worker is over. A waiting or queued model has one if it was forked
        /// ahead.
        var worker: WorkerState?

        var isSettled: Bool {
            if case .settled = phase { true } else { false }
        }

        /// Whether it has no final status yet and none is decided either.
        var isOpen: Bool {
            !isSettled && worker?.ending == nil
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
            /// Its model's status is decided, and waits for its death.
            case ending(ModelStatus)
        }

        let id: WorkerID
        var phase = Phase.starting
        /// Whether the engine has got hold of it.
        var isForked = false
        /// Whether it must die. The kill action was given if it is forked, and is given when it is, if it isn't.
        var isDoomed = false

        var ending: ModelStatus? {
            if case .ending(let status) = phase { status } else { nil }
        }

        /// How far it has come, for a failure's message.
        var stage: Stage {
            switch phase {
            case .starting: .starting
            case .idle: .idle
            case .sent: .opening
            case .running, .delivered, .ending: .running
            }
        }
    }

    /// What the scheduler knows of one environment.
    struct EnvironmentState: Sendable {
        enum Zygote: Sendable {
            case starting, ready, dead
        }

        var zygote = Zygote.starting
        /// Ranks of queued models that wait for the zygote.
        var queued: [Int] = []
        /// Ranks of models for which a worker may be forked ahead, once the zygote is ready.
        var ahead: [Int] = []
    }
}
