extension Scheduler {
    /// One node of the graph: a model of the project, or the preview of one.
    public struct Model: Equatable, Sendable {
        /// The kind of result that a worker of the model hands back.
        public enum Role: Equatable, Sendable {
            /// A table (`published`). Its failure fails the run.
            case table
            /// Text (`done`): the first rows of a table. It runs when nothing else can, nothing may read it, and its failure
            /// is reported but leaves the run's outcome alone.
            case preview
        }

        /// Indexes of the models whose tables it reads, in the task's order. One model may appear several times.
        public var inputs: [Int]

        /// Key of the environment whose zygote forks the worker.
        public var environment: String

        /// Whether the table is a result of the run: it is then kept until the run ends.
        public var isFinal: Bool

        /// The kind of result that a worker of the model hands back.
        public var role: Role

        /// How long the model is expected to run, if that is known. It orders models, nothing else.
        public var expectedTime: Duration?

        /// Whether its table is there before the run: it then doesn't run, unless the table is dropped. Not for previews.
        public var isCached: Bool

        /// Whether its table may turn up while it asks (`tableFound`). No worker is forked for it before it is granted. Not for
        /// previews.
        public var mayBeFound: Bool

        /// Whether its table may be dropped: the model is then run again (a cached one for the first time) to have it back.
        public var canRollBack: Bool

        /// A model; only its inputs and its environment have no default.
        public init(
            inputs: [Int], environment: String, isFinal: Bool = false, role: Role = .table,
            expectedTime: Duration? = nil, isCached: Bool = false, mayBeFound: Bool = false,
            canRollBack: Bool = true
        ) {
            precondition(role == .table || !isCached && !mayBeFound, "a preview has no table that could be cached")
            self.inputs = inputs
            self.environment = environment
            self.isFinal = isFinal
            self.role = role
            self.expectedTime = expectedTime
            self.isCached = isCached
            self.mayBeFound = mayBeFound
            self.canRollBack = canRollBack
        }
    }

    /// The memory that a model is admitted with. The engine decides and enforces it; the scheduler passes it on.
    public struct Grant: Equatable, Sendable {
        /// Hard upper limit of the worker's memory in bytes, nil for none.
        public var memoryBytesMax: Int?
        /// The part of it that the model is expected to need, in bytes.
        public var expectedBytes: Int

        /// A grant.
        public init(memoryBytesMax: Int?, expectedBytes: Int = 0) {
            self.memoryBytesMax = memoryBytesMax
            self.expectedBytes = expectedBytes
        }
    }

    /// Names one worker of a run; never reused. A model that is run again gets a new one.
    public struct WorkerID: Hashable, Comparable, Sendable, CustomStringConvertible {
        /// Counts up from 0 in the order of the fork actions.
        public let number: Int

        /// The worker with that number.
        public init(_ number: Int) {
            self.number = number
        }

        /// The protocol's name of the worker: `w7`.
        public var description: String { "w\(number)" }

        /// Orders workers by age.
        public static func < (left: WorkerID, right: WorkerID) -> Bool {
            left.number < right.number
        }
    }
}
