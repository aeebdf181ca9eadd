import Sandbox
import System

/// The engine's side of one zygote: its socket, its users, and how far it is. The pool says when that changes.
final class ZygoteProcess {
    enum State {
        /// Its process is being started.
        case spawning
        /// It imports its packages.
        case starting
        /// It forks workers.
        case ready
        /// It is dead, or is killed now.
        case dead
    }

    private(set) var key: ZygoteKey
    let channel: Channel
    let output: LineReader
    private(set) var state = State.spawning
    /// The process; nil before it is there.
    private(set) var process: Zygote?
    /// The runs that have asked for it and are not over, by their numbers.
    private(set) var users: [any ZygoteUser] = []
    /// When a run last asked for it, or ended that had, in nanoseconds of the monotonic clock.
    private(set) var usedAt = MonotonicClock.nanoseconds()
    /// Its last lines, for the message when it fails.
    private(set) var lastLines: [String] = []
    /// When it is too late to become ready, in nanoseconds of the monotonic clock.
    private(set) var deadline: UInt64
    /// The right to use its environment; nil for the default one.
    let environment: EnvironmentHold?

    init(
        key: ZygoteKey, channel: Channel, output: LineReader, deadline: UInt64, environment: EnvironmentHold? = nil
    ) {
        self.environment = environment
        self.key = key
        self.channel = channel
        self.output = output
        self.deadline = deadline
    }

    /// Keeps the lines that were printed while it started.
    func record(_ lines: [String]) {
        lastLines = Array((lastLines + lines).suffix(20))
    }

    /// A run asks for it.
    func add(_ user: any ZygoteUser) {
        usedAt = MonotonicClock.nanoseconds()
        guard !users.contains(where: { $0 === user }) else { return }
        users.append(user)
        users.sort { $0.number < $1.number }
    }

    /// A run that may have asked for it is over.
    func remove(_ user: any ZygoteUser) {
        let count = users.count
        users.removeAll { $0 === user }
        if users.count < count { usedAt = MonotonicClock.nanoseconds() }
    }

    /// Its process is there; it imports its packages, unless it was ended meanwhile.
    func spawned(_ process: Zygote) {
        self.process = process
        if state == .spawning { state = .starting }
    }

    /// Its packages are imported.
    func becomeReady() { state = .ready }

    /// It is dead, or is killed now.
    func die() { state = .dead }

    /// It was started early, and is told which modules to import.
    func decide(_ key: ZygoteKey) throws(EngineError) {
        precondition(self.key == key.early, "a zygote becomes another one's")
        self.key = key
        // Until now nobody has waited for it.
        deadline = Deadline.after(seconds: ZygotePool.secondsMax)
        let modules = key.modules.map { JSONValue.string($0) }
        try channel.send(Datagram.message(Op.ToZygote.preload, ["modules": .array(modules)]))
    }

    /// Calls on it to fork a worker.
    ///
    /// - Parameter descriptors: the worker's ends of its socket and its output, and what it sees, in a sandbox, and then its
    ///   folder on a disk, if it has one.
    func fork(_ worker: WorkerProcess, _ descriptors: [DescriptorBox]) throws(EngineError) {
        var members: [String: JSONValue] = [
            "worker": .string(worker.name), "cpus": .integer(Int64(Machine.processorCount())),
        ]
        if worker.scratch?.mount != nil { members["scratch"] = true }
        if let identity = worker.identity { members["uid"] = .integer(Int64(identity.uid)) }
        try channel.send(Datagram.message(Op.ToZygote.fork, members), descriptors)
    }
}
