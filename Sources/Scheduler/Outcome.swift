extension Scheduler {
    /// How a model ended. Each model gets one status, and one more each time it is run again; that one is the same, unless the
    /// model fails, or was unneeded and succeeds.
    public enum ModelStatus: Equatable, Sendable {
        /// Its table was made, or was there before; or its text was handed over.
        case success
        /// It was not run, because every reader of its table is cached or unneeded itself.
        case unneeded
        /// It failed by itself.
        case failed(Failure)
        /// It had a grant, and was stopped because the run was cancelled or another model had failed; or it
        /// was waiting when the run was cancelled.
        case cancelled
        /// It had no grant, and was not to get one any more, because that model had failed.
        case skipped(because: Int)

        /// Whether nothing is wrong.
        var isDone: Bool { self == .success || self == .unneeded }
    }

    /// How a run ended.
    public struct Outcome: Equatable, Sendable {
        /// The run's status.
        public enum Status: Equatable, Sendable {
            /// Every model succeeded or was unneeded; previews don't count.
            case success
            /// A model failed and nobody cancelled.
            case failed
            /// It was cancelled, whatever else happened.
            case cancelled
        }

        /// The model whose failure was known first.
        public struct Cause: Equatable, Sendable {
            /// The model.
            public let model: Int
            /// What happened to it.
            public let failure: Failure

            /// A cause.
            public init(model: Int, failure: Failure) {
                self.model = model
                self.failure = failure
            }
        }

        /// The run's status.
        public let status: Status
        /// The first failure; also there when the run was cancelled after it.
        public let cause: Cause?
        /// The status of each model, by index.
        public let models: [ModelStatus]

        /// An outcome; only a scheduler makes one that means something.
        public init(status: Status, cause: Cause?, models: [ModelStatus]) {
            self.status = status
            self.cause = cause
            self.models = models
        }
    }

    /// What becomes of the rest of a run when a model has failed.
    public enum FailurePolicy: Equatable, Sendable {
        /// Nothing new starts and running models are killed; a model that had handed over its result still succeeds.
        case stop
        /// Only models that need the failed one are skipped; all others run.
        case keepGoing
    }
}
