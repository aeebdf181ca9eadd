extension Scheduler {
    /// Why a model failed.
    public enum Failure: Error, Equatable, Sendable {
        /// The zygote of its environment didn't start, or died.
        case environment(String)
        /// It was not admitted: it needs more memory than there is.
        case refused(String)
        /// No worker could be forked.
        case fork(String)
        /// The engine couldn't give the worker its inputs or its output segment.
        case send(String)
        /// The worker reported the failure itself.
        case reported(WorkerError)
        /// The worker died before its result had arrived.
        case died(Exit, during: Stage)
        /// The model took longer than its timeout.
        case timedOut
        /// The published descriptor named no valid table, or the table was tampered with.
        case rejected(String)
        /// The worker sent something that the protocol doesn't allow, and was killed.
        case misbehaved(String)
    }

    /// The content of a worker's `failed` message; every text in it is the worker's and not to be trusted.
    public struct WorkerError: Equatable, Sendable {
        /// `user`, `result`, `input`, `memory` or `internal`.
        public var kind: String
        /// What went wrong.
        public var message: String
        /// The user's own frames, if user code raised.
        public var traceback: String?
        /// File of the innermost user frame.
        public var file: String?
        /// Line in that file.
        public var line: Int?

        /// A worker's error.
        public init(kind: String, message: String, traceback: String? = nil, file: String? = nil, line: Int? = nil) {
            self.kind = kind
            self.message = message
            self.traceback = traceback
            self.file = file
            self.line = line
        }
    }

    /// How a worker ended.
    public struct Exit: Equatable, Sendable {
        /// The exit status, 0 if a signal ended it.
        public var status: Int32
        /// The signal that ended it, nil if it left by itself.
        public var signal: Int32?
        /// Whether the kernel killed it because it passed its memory limit.
        public var isOutOfMemory: Bool

        /// An exit; by default a clean one.
        public init(status: Int32 = 0, signal: Int32? = nil, isOutOfMemory: Bool = false) {
            self.status = status
            self.signal = signal
            self.isOutOfMemory = isOutOfMemory
        }
    }

    /// How far a worker had come.
    public enum Stage: Equatable, Sendable {
        /// It was setting up its sandbox.
        case starting
        /// It was waiting for its model's inputs.
        case idle
        /// It was opening its inputs.
        case opening
        /// User code was running, or its result was being published.
        case running
    }
}

extension Scheduler.Failure: CustomStringConvertible {
    /// One sentence without a model's name.
    public var description: String {
        switch self {
        case .environment(let reason): "its environment failed: \(reason)"
        case .refused(let reason): reason
        case .fork(let reason): "no worker could be started: \(reason)"
        case .send(let reason): "its worker couldn't be given its inputs: \(reason)"
        case .reported(let error): error.message
        case .died(let exit, let stage): "its worker \(exit) \(stage)"
        case .timedOut: "it took longer than its timeout"
        case .rejected(let reason): "its result was rejected: \(reason)"
        case .misbehaved(let reason): "its worker broke the protocol and was killed: \(reason)"
        }
    }
}

extension Scheduler.Exit: CustomStringConvertible {
    /// A predicate: `was killed for passing its memory limit`, `was killed by signal 11`, `left with status 3`.
    public var description: String {
        if isOutOfMemory {
            return "was killed for passing its memory limit"
        }
        if let signal {
            return "was killed by signal \(signal)"
        }
        return "left with status \(status)"
    }
}

extension Scheduler.Stage: CustomStringConvertible {
    /// An adverbial: `while it ran`.
    public var description: String {
        switch self {
        case .starting: "while it started"
        case .idle: "while it waited for work"
        case .opening: "while it opened its inputs"
        case .running: "while it ran"
        }
    }
}
