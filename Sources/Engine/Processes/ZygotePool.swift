import Glibc
import Sandbox
import System

/// A run, as it uses zygotes: the pool tells it what became of each that it has asked for.
protocol ZygoteUser: AnyObject {
    /// Its number, unique among all users of the engine; they are told in this order.
    var number: Int { get }
    /// The zygote forks workers from now on.
    func ready(_ zygote: ZygoteProcess)
    /// A zygote says something of a worker: that it was forked, couldn't be, or has ended.
    ///
    /// - Returns: what was wrong with that; nil when it was in order, or when the worker is none of this user's.
    func said(_ message: ZygoteMessage, of worker: String, by zygote: ZygoteProcess) -> String?
    /// A zygote is dead, or is killed now, or couldn't be started: it forks no worker any more. Its workers die with it; `died` says when.
    func failed(_ zygote: ZygoteProcess, _ reason: String)
    /// Kills the zygote's workers, and says by which processes their end can be told: without a sandbox they don't die with it.
    func killWorkers(of zygote: ZygoteProcess) -> [ProcessDescriptor]
    /// A zygote that had failed is dead, and its workers are.
    ///
    /// - Parameter reason: why some processes may be alive all the same; nil when all are dead.
    func died(_ zygote: ZygoteProcess, unless reason: String?)
}

/// The zygotes: started when a run needs one, kept for later runs, ended when there are too many or when they fail.
///
/// Owns their processes and sockets. A zygote is started in the background, and its end is waited for in the loop: neither takes time of
/// the engine's thread, on which the pool is used.
final class ZygotePool {
    /// Seconds a zygote may take to import its packages.
    static let secondsMax = 300.0
    /// Seconds that what was killed may take to be dead.
    static let deathSecondsMax = 60.0
    /// While there are more zygotes than this, those that no run uses are ended.
    static let countMax = 8
    /// Seconds after which a zygote that no run uses is ended if its environment is one that models ask for: there may be many of these.
    static let idleSecondsMax = 300.0

    /// Starts the process of a zygote; on a thread that stays.
    typealias Spawn = @Sendable (ZygoteKey, _ control: DescriptorBox, _ output: DescriptorBox) throws -> Zygote

    /// One that is being waited for.
    private struct Dying {
        let zygote: ZygoteProcess
        let process: Zygote
        /// What is still alive, its own process first.
        var alive: [ProcessDescriptor]
        let deadline: UInt64
    }

    private let background: BackgroundWork
    private let deathSecondsMax: Double
    private let idleSecondsMax: Double
    private let spawn: Spawn
    private var zygotes: [ZygoteKey: ZygoteProcess] = [:]
    private var dying: [Dying] = []

    init(
        _ background: BackgroundWork, deathSecondsMax: Double = deathSecondsMax,
        idleSecondsMax: Double = idleSecondsMax,
        spawn: @escaping Spawn
    ) {
        self.background = background
        self.idleSecondsMax = idleSecondsMax
        self.deathSecondsMax = deathSecondsMax
        self.spawn = spawn
    }

    // MARK: Use

    /// The zygote with that key for a run, started if there is none. The run is told when it is ready, unless it is, or that it has
    /// failed.
    ///
    /// - Parameter environment: the right to use its environment, which it keeps while it lives; nil for the default one.
    func zygote(
        for key: ZygoteKey, keeping environment: EnvironmentHold? = nil, _ user: any ZygoteUser
    ) throws -> ZygoteProcess {
        let zygote = try zygotes[key] ?? startedEarly(key, environment) ?? start(key, environment)
        zygote.add(user)
        return zygote
    }

    /// Starts one before it is known what it imports: what it does until then it does while a project is planned.
    func startEarly(_ key: ZygoteKey) { _ = try? start(key, nil) }

    /// The zygote that was started early and can be the one that is wanted, if there is one.
    private func startedEarly(_ key: ZygoteKey, _ environment: EnvironmentHold?) throws -> ZygoteProcess? {
        guard environment == nil, !key.isEarly, let zygote = zygotes[key.early] else { return nil }
        zygotes[key.early] = nil
        try zygote.decide(key)
        zygotes[key] = zygote
        return zygote
    }

    /// The zygote with that key, if it forks workers.
    func ready(_ key: ZygoteKey) -> ZygoteProcess? { zygotes[key].flatMap { $0.state == .ready ? $0 : nil } }

    /// The zygote with that key, if there is one; it may be starting.
    subscript(key: ZygoteKey) -> ZygoteProcess? { zygotes[key] }

    /// A run is over, and told of nothing any more; zygotes that no run uses are ended, the longest unused first, until there are not too
    /// many.
    func end(_ user: any ZygoteUser) {
        for zygote in Array(zygotes.values) + dying.map(\.zygote) { zygote.remove(user) }
        let idle = zygotes.values.filter(\.users.isEmpty).sorted { $0.usedAt < $1.usedAt }
        for zygote in idle.prefix(max(0, zygotes.count - Self.countMax)) { fail(zygote, "it was not needed") }
    }

    /// Ends the zygotes that no other run uses.
    func endZygotes(ofOnly user: any ZygoteUser) {
        for zygote in zygotes.values where zygote.users.map(\.number) == [user.number] { fail(zygote, "it was ended") }
    }

    // MARK: Start

    private func start(_ key: ZygoteKey, _ environment: EnvironmentHold?) throws -> ZygoteProcess {
        let (ours, theirs) = try MessageSocket.pair()
        let (reading, writing) = try DescriptorBox.pipe()
        let zygote = ZygoteProcess(
            key: key, channel: Channel(ours), output: try LineReader(reading),
            deadline: Deadline.after(seconds: Self.secondsMax), environment: environment)
        zygotes[key] = zygote
        let control = DescriptorBox(try theirs.descriptor.duplicate())
        let spawn = spawn
        background.begin(.spawn) { () -> Result<Spawned, any Error> in
            HoldPoint.spawn.pass()
            return Result { Spawned(try spawn(key, control, writing)) }
        } then: { [weak self] result in
            self?.started(zygote, result)
        }
        return zygote
    }

    private func started(_ zygote: ZygoteProcess, _ result: Result<Spawned, any Error>) {
        switch result {
        case .success(let spawned):
            zygote.spawned(spawned.zygote)
            if zygote.state == .dead { bury(zygote, spawned.zygote) }
        case .failure(let error):
            guard zygote.state != .dead else { return }
            zygote.die()
            zygotes[zygote.key] = nil
            for user in zygote.users { user.failed(zygote, "\(error)") }
        }
    }

    // MARK: What they say

    /// Adds what there is to wait for.
    func watch(_ watches: inout [Watch]) {
        for zygote in zygotes.values where zygote.state != .spawning {
            watches.append(Watch(zygote.channel.socket.raw, zygote.channel.interest) { _ in self.hear(zygote) })
            if !zygote.output.isClosed {
                // Warnings of packages while they are imported are of interest only if the zygote fails.
                watches.append(
                    Watch(zygote.output.descriptor.raw, isReady: zygote.output.hasMore) { _ in
                        zygote.record(zygote.output.lines())
                    })
            }
        }
        for process in dying.flatMap(\.alive) {
            watches.append(Watch(process.raw) { _ in self.noteDeath(of: process) })
        }
    }

    /// Ends what has taken too long.
    func checkDeadlines(_ now: UInt64) {
        for zygote in zygotes.values where zygote.state == .starting && now >= zygote.deadline {
            fail(zygote, "it was not ready within \(Int(Self.secondsMax)) seconds")
        }
        for zygote in zygotes.values
        where zygote.environment != nil && zygote.users.isEmpty
            && Double(now) >= Double(zygote.usedAt) + idleSecondsMax * 1e9
        {
            fail(zygote, "it was not needed")
        }
        for entry in dying where now >= entry.deadline {
            finish(entry, unless: "\(entry.alive.count) processes could not be killed")
        }
    }

    private func hear(_ zygote: ZygoteProcess) {
        zygote.channel.flush()
        // A part of what it says, if that is much: nobody keeps the engine from the others.
        for _ in 0..<Limit.messagesPerTurn where zygote.state != .dead {
            switch zygote.channel.receive(ZygoteMessage.init) {
            case .nothing: return
            case .closed: fail(zygote, "it ended")
            case .malformed(let what): fail(zygote, "it sent \(what)")
            case .message(let message): handle(message, from: zygote)
            }
        }
    }

    private func handle(_ message: ZygoteMessage, from zygote: ZygoteProcess) {
        guard let worker = message.worker else {
            guard zygote.state == .starting, !zygote.key.isEarly else {
                return fail(zygote, "it said that it is ready, a second time or too early")
            }
            zygote.becomeReady()
            for user in zygote.users { user.ready(zygote) }
            return
        }
        for user in zygote.users {
            if let complaint = user.said(message, of: worker, by: zygote) { return fail(zygote, complaint) }
        }
    }

    // MARK: End

    /// A zygote is dead, or is killed now; its workers die with it, as it is the first process of their pid namespace.
    ///
    /// Its runs are told at once that it forks no more, and from the loop when all of them are dead: what they published may then be
    /// sealed.
    func fail(_ zygote: ZygoteProcess, _ reason: String) {
        guard zygote.state != .dead else { return }
        zygote.die()
        zygotes[zygote.key] = nil
        zygote.record(zygote.output.lastLines())
        let details = zygote.lastLines.isEmpty ? "" : ":\n  " + zygote.lastLines.joined(separator: "\n  ")
        // Where it has no process yet, it is killed as soon as it has. Workers are killed before their runs forget those that are over
        // with this.
        if let process = zygote.process { bury(zygote, process) }
        for user in zygote.users { user.failed(zygote, "the zygote failed: \(reason)\(details)") }
    }

    /// Kills a zygote and all its workers, and waits for their death in the loop.
    private func bury(_ zygote: ZygoteProcess, _ process: Zygote) {
        let workers = zygote.users.flatMap { $0.killWorkers(of: zygote) }
        process.kill()
        dying.append(
            Dying(
                zygote: zygote, process: process, alive: [process.descriptor] + workers,
                deadline: Deadline.after(seconds: deathSecondsMax)))
    }

    private func noteDeath(of process: ProcessDescriptor) {
        guard let place = dying.firstIndex(where: { $0.alive.contains { $0 === process } }) else { return }
        if process === dying[place].process.descriptor { dying[place].process.reap() }
        dying[place].alive.removeAll { $0 === process }
        if dying[place].alive.isEmpty { finish(dying[place], unless: nil) }
    }

    private func finish(_ entry: Dying, unless reason: String?) {
        dying.removeAll { $0.zygote === entry.zygote }
        for user in entry.zygote.users { user.died(entry.zygote, unless: reason) }
    }

    /// Ends all zygotes, and with them all that they started; returns when they are dead, or when that takes too long.
    func shutDown() {
        background.drain([.spawn], until: Deadline.after(seconds: Self.endSecondsMax))
        for zygote in Array(zygotes.values) { fail(zygote, "the engine ends") }
        let deadline = Deadline.after(seconds: Self.endSecondsMax)
        while let next = dying.first?.alive.first, MonotonicClock.nanoseconds() < deadline {
            let isDead = (try? Poll.wait([(next.raw, .read)], timeoutMilliseconds: 100))?.first?.contains(.read)
            if isDead == true { noteDeath(of: next) }
        }
    }

    /// Seconds that the end of the engine waits for its processes: what the kernel holds longer, it ends by itself.
    private static let endSecondsMax = 10.0
}

/// A process that was started on another thread, on its way to the engine's.
///
/// `@unchecked Sendable`: the thread that made it has no other part of it and touches it no more.
private struct Spawned: @unchecked Sendable {
    let zygote: Zygote

    init(_ zygote: Zygote) { self.zygote = zygote }
}
