import Glibc
import Sandbox
import System

/// Those who use zygotes: the pool tells them what became of each.
protocol ZygoteUsers: AnyObject {
    /// The zygote forks workers from now on, for these runs.
    func ready(_ zygote: ZygoteProcess, for runs: Set<Int>)
    /// A zygote says something of a worker: that it was forked, couldn't be, or has ended.
    ///
    /// - Returns: what was wrong with that; nil when it was in order.
    func said(_ message: ZygoteMessage, of worker: String, by zygote: ZygoteProcess) -> String?
    /// A zygote is dead, or is killed now, or couldn't be started: it forks no worker any more. Its workers die with it; `died` says when.
    func failed(_ zygote: ZygoteProcess, _ reason: String, for runs: Set<Int>)
    /// Kills a zygote's workers, and says by which processes their end can be told: without a sandbox they don't die with it.
    func killWorkers(of zygote: ZygoteProcess, for runs: Set<Int>) -> [ProcessDescriptor]
    /// A zygote that had failed is dead, and its workers are.
    ///
    /// - Parameter reason: why some processes may be alive all the same; nil when all are dead.
    func died(_ zygote: ZygoteProcess, for runs: Set<Int>, unless reason: String?)
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

    /// Starts the process of a zygote; on a thread that stays.
    typealias Spawn = @Sendable (ZygoteKey, _ control: DescriptorBox, _ output: DescriptorBox) throws -> Zygote

    /// One that is being waited for.
    private struct Dying {
        let zygote: ZygoteProcess
        let process: Zygote
        let runs: Set<Int>
        /// What is still alive, its own process first.
        var alive: [ProcessDescriptor]
        let deadline: UInt64
    }

    /// Set once, before the first zygote is asked for.
    weak var users: (any ZygoteUsers)?

    private let background: BackgroundWork
    private let deathSecondsMax: Double
    private let spawn: Spawn
    private var zygotes: [ZygoteKey: ZygoteProcess] = [:]
    private var dying: [Dying] = []

    init(_ background: BackgroundWork, deathSecondsMax: Double = deathSecondsMax, spawn: @escaping Spawn) {
        self.background = background
        self.deathSecondsMax = deathSecondsMax
        self.spawn = spawn
    }

    // MARK: Use

    /// The zygote with that key for a run, started if there is none. The run is told when it is ready, unless it is, or that it has
    /// failed.
    func zygote(for key: ZygoteKey, run: Int) throws -> ZygoteProcess {
        let zygote = try zygotes[key] ?? start(key)
        zygote.runs.insert(run)
        zygote.usedAt = MonotonicClock.nanoseconds()
        return zygote
    }

    /// The zygote with that key, if it forks workers.
    func ready(_ key: ZygoteKey) -> ZygoteProcess? { zygotes[key].flatMap { $0.state == .ready ? $0 : nil } }

    /// The zygote with that key, if there is one; it may be starting.
    subscript(key: ZygoteKey) -> ZygoteProcess? { zygotes[key] }

    /// A run is over; zygotes that no run uses are ended, the longest unused first, until there are not too many.
    func end(run: Int) {
        for zygote in zygotes.values { zygote.runs.remove(run) }
        let idle = zygotes.values.filter(\.runs.isEmpty).sorted { $0.usedAt < $1.usedAt }
        for zygote in idle.prefix(max(0, zygotes.count - Self.countMax)) { fail(zygote, "it was not needed") }
    }

    /// Ends the zygotes that no other run uses.
    func endZygotes(ofOnly run: Int) {
        for zygote in zygotes.values where zygote.runs == [run] { fail(zygote, "it was ended") }
    }

    // MARK: Start

    private func start(_ key: ZygoteKey) throws -> ZygoteProcess {
        let (ours, theirs) = try MessageSocket.pair()
        let (reading, writing) = try DescriptorBox.pipe()
        let zygote = ZygoteProcess(
            key: key, channel: Channel(ours), output: try LineReader(reading),
            deadline: Deadline.after(seconds: Self.secondsMax))
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
            zygote.process = spawned.zygote
            if zygote.state == .dead { return bury(zygote, spawned.zygote, zygote.runs) }
            zygote.state = .starting
        case .failure(let error):
            guard zygote.state != .dead else { return }
            zygote.state = .dead
            zygotes[zygote.key] = nil
            users?.failed(zygote, "\(error)", for: zygote.runs)
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
            guard zygote.state == .starting else { return fail(zygote, "it said that it is ready, a second time") }
            zygote.state = .ready
            users?.ready(zygote, for: zygote.runs)
            return
        }
        if let complaint = users?.said(message, of: worker, by: zygote) { fail(zygote, complaint) }
    }

    // MARK: End

    /// A zygote is dead, or is killed now; its workers die with it, as it is the first process of their pid namespace.
    ///
    /// Its runs are told at once that it forks no more, and from the loop when all of them are dead: what they published may then be
    /// sealed.
    func fail(_ zygote: ZygoteProcess, _ reason: String) {
        guard zygote.state != .dead else { return }
        zygote.state = .dead
        zygotes[zygote.key] = nil
        zygote.record(zygote.output.lastLines())
        let details = zygote.lastLines.isEmpty ? "" : ":\n  " + zygote.lastLines.joined(separator: "\n  ")
        let runs = zygote.runs
        // Where it has no process yet, it is killed as soon as it has. Workers are killed before their runs forget those that are over
        // with this.
        if let process = zygote.process { bury(zygote, process, runs) }
        users?.failed(zygote, "the zygote failed: \(reason)\(details)", for: runs)
    }

    /// Kills a zygote and all its workers, and waits for their death in the loop.
    private func bury(_ zygote: ZygoteProcess, _ process: Zygote, _ runs: Set<Int>) {
        let workers = users?.killWorkers(of: zygote, for: runs) ?? []
        process.kill()
        dying.append(
            Dying(
                zygote: zygote, process: process, runs: runs, alive: [process.descriptor] + workers,
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
        users?.died(entry.zygote, for: entry.runs, unless: reason)
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
