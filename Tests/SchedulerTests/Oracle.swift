import Scheduler

/// Something that must not happen, and did.
struct Violation: Error, CustomStringConvertible {
    let description: String
}

/// Watches a run from outside and knows what may happen in it. It shares no code with the scheduler: where that counts, this looks at
/// the whole graph anew.
final class Oracle {
    struct Worker: Equatable {
        var model: Int
        var isForked = false
        var hasStarted = false
        var isSent = false
        var isRunning = false
        var isKilled = false
        /// Its result arrived, and nothing has spoiled it since.
        var hasResult = false
        /// Its table was handed over while it lives.
        var isLeaving = false
        /// No result of it can count any more.
        var isSpoiled = false
        /// It said that it had too little memory, and its model gets another one.
        var lacksMemory = false
        /// Nobody waits for it to leave by itself.
        var mustDie = false
        /// Dead, or never born: nothing more comes of it.
        var isOver = false
        var isClosed = false

        /// Whether it may still do what it was forked for.
        var isSound: Bool { !isSpoiled && !lacksMemory }
    }

    /// How a model may have to end; decided before it is settled if a worker stands against that.
    struct Ends: OptionSet {
        let rawValue: Int

        static let failed = Ends(rawValue: 1)
        static let skipped = Ends(rawValue: 2)
        static let cancelled = Ends(rawValue: 4)
        /// It was to run again, and nobody needs it any more.
        static let calledOff = Ends(rawValue: 8)
        static let cached = Ends(rawValue: 16)
        static let unneeded = Ends(rawValue: 32)
        static let found = Ends(rawValue: 64)
    }

    enum Table: Equatable {
        case absent, sealing, held
    }

    /// A status without its details.
    enum Status {
        case success, unneeded, failed, cancelled, skipped

        init(_ status: Scheduler.ModelStatus) {
            switch status {
            case .success: self = .success
            case .unneeded: self = .unneeded
            case .failed: self = .failed
            case .cancelled: self = .cancelled
            case .skipped: self = .skipped
            }
        }
    }

    /// The given facts about one model.
    struct Trait {
        let isPreview: Bool
        let isFinal: Bool
        let isCached: Bool
        let mayBeFound: Bool
        let canRollBack: Bool
        let environment: String
        /// Whether it must run though no table is ever dropped.
        var isNeeded = false

        init(_ model: Scheduler.Model) {
            isPreview = model.role == .preview
            isFinal = model.isFinal
            isCached = model.isCached
            mayBeFound = model.mayBeFound
            canRollBack = model.canRollBack
            environment = model.environment
        }
    }

    /// The observed state of one model.
    struct Node {
        var status: Status?
        /// The status it had before it was to run again.
        var earlier: Status?
        var ends: Ends = []
        var table = Table.absent
        var isAsking = false
        var rank: Int?
        var grant: Scheduler.Grant?
        var wasGranted = false
        var isRetried = false
        var isRetry = false
        var lastWorker: Scheduler.WorkerID?

        /// Whether it has no status and none is decided.
        var isOpen: Bool { status == nil && ends.rawValue == 0 }
        /// Whether it has no status, but one is decided.
        var isEnding: Bool { status == nil && ends.rawValue != 0 }
        var isDone: Bool { status == .success || status == .unneeded }
    }

    let workload: Workload
    let traits: [Trait]
    let inputs: [[Int]]
    let readers: [[Int]]
    /// All models, each after its inputs.
    let order: [Int]
    var nodes: [Node]
    /// The status that each model was last settled with.
    var statuses: [Scheduler.ModelStatus?]
    var workers: [Scheduler.WorkerID: Worker] = [:]
    /// Workers that were neither sealed nor discarded.
    var open: [Scheduler.WorkerID] = []
    var zygotesAsked: Set<String> = []
    var zygotesReady: Set<String> = []
    var zygotesDead: Set<String> = []
    /// Models that owed their tables when their zygote died, in the event at hand.
    var stranded: Set<Int> = []
    /// The model that was granted and didn't ask, in the event at hand, until it gives back.
    var latecomer: Int?
    /// The model that waits for the worker of another one, to which its own was moved by the last action.
    var robbed: Int?
    /// Models that were found to be run again, in the event at hand.
    var woken: [Int] = []
    /// Final tables that were released in the event at hand.
    var delivered: Set<Int> = []
    /// How often a model was to run again.
    var rerunCount = 0
    /// How often a model that was to run again kept its status without running.
    var callOffCount = 0
    /// How often a worker was moved to another model.
    var moveCount = 0
    /// How often a table was handed over before its worker was dead.
    var handOverCount = 0
    /// How often a worker had too little memory, and its model got another.
    var retryCount = 0
    var isStarted = false
    var isCancelled = false
    /// Whether something happened that may make a model fail.
    var isTroubled = false
    /// Whether nothing may start any more.
    var isStopping = false
    var outcome: Scheduler.Outcome?

    init(_ workload: Workload) {
        self.workload = workload
        let models = workload.graph.models
        let inputs = models.map { Array(Set($0.inputs)).sorted() }
        var readers = [[Int]](repeating: [], count: models.count)
        for (index, inputs) in inputs.enumerated() {
            for input in inputs {
                readers[input].append(index)
            }
        }
        var order: [Int] = []
        var isPlaced = [Bool](repeating: false, count: models.count)
        func place(_ model: Int) {
            guard !isPlaced[model] else { return }
            isPlaced[model] = true
            inputs[model].forEach(place)
            order.append(model)
        }
        models.indices.forEach(place)
        var traits = models.map(Trait.init)
        for model in order.reversed() where !traits[model].isCached {
            traits[model].isNeeded =
                traits[model].isFinal || readers[model].isEmpty || readers[model].contains { traits[$0].isNeeded }
        }
        self.traits = traits
        self.inputs = inputs
        self.readers = readers
        self.order = order
        statuses = models.map { _ in nil }
        nodes = models.map { Node(table: $0.isCached ? .held : .absent) }
    }

    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        if !condition {
            throw Violation(description: message())
        }
    }

    /// The model's worker, unless it is over; a model never has two.
    func living(_ model: Int) -> Worker? {
        guard let id = nodes[model].lastWorker, let worker = workers[id], !worker.isOver else {
            return nil
        }
        return worker
    }

    /// Whether its result has arrived and counts.
    func hasResult(_ model: Int) -> Bool {
        nodes[model].table == .sealing || living(model)?.hasResult == true
    }

    func inputsAreHeld(_ model: Int) -> Bool {
        inputs[model].allSatisfy { nodes[$0].table == .held }
    }

    /// Whether a zygote can fork for the model.
    func hasZygote(_ model: Int) -> Bool {
        let environment = traits[model].environment
        return zygotesReady.contains(environment) && !zygotesDead.contains(environment)
    }

    /// Which models need their inputs: they have no status yet, or they would have to run for a model that needs its inputs.
    func needingInputs() -> [Bool] {
        let nodes = nodes
        var needs = nodes.map { _ in false }
        for model in order.reversed() {
            let node = nodes[model]
            if node.status == nil {
                needs[model] = traits[model].isNeeded || node.earlier != nil
            } else if node.isDone, node.table == .absent, !traits[model].isPreview {
                needs[model] = readers[model].contains { needs[$0] }
            }
        }
        return needs
    }

    /// Whether no model needs the table.
    func isUnread(_ model: Int, _ needs: [Bool]) -> Bool {
        !readers[model].contains { needs[$0] }
    }

    /// Whether the table can go, and come again.
    func mayDrop(_ model: Int) -> Bool {
        nodes[model].table == .held && nodes[model].status == .success && !traits[model].isFinal
            && !isPinned(model) && isMakeable(model)
    }

    func isPinned(_ model: Int) -> Bool {
        readers[model].contains { nodes[$0].grant != nil }
    }

    private func isMakeable(_ model: Int) -> Bool {
        var seen: Set<Int> = []
        func check(_ model: Int) -> Bool {
            guard seen.insert(model).inserted else {
                return true
            }
            let node = nodes[model]
            let wasUnneeded = node.status == .unneeded || node.earlier == .unneeded
            guard traits[model].canRollBack || wasUnneeded, !zygotesDead.contains(traits[model].environment) else {
                return false
            }
            return inputs[model].allSatisfy { input in
                let node = nodes[input]
                if node.table == .held || node.isOpen {
                    return true
                }
                let isToRunAgain = node.earlier != nil && node.ends != .failed
                return (node.isDone || isToRunAgain) && check(input)
            }
        }
        return check(model)
    }

    /// Whether an open model lacks the table, or one that would have to be made from it.
    func isAwaited(_ model: Int) -> Bool {
        var seen: Set<Int> = []
        func check(_ model: Int) -> Bool {
            seen.insert(model).inserted
                && readers[model].contains { reader in
                    nodes[reader].isOpen || (nodes[reader].table == .absent && check(reader))
                }
        }
        return check(model)
    }
}
