import Glibc
import SIPC
import Sandbox
import Scheduler
import Store
import System

/// The life of a worker as the engine sees it: its fork, its task, its messages, its death.
extension Run {
    /// Seconds a worker may take to enter its sandbox, and to leave after its last message.
    static let graceSeconds = 60.0

    func startZygote(_ name: String) {
        guard let key = scheduler.graph.models.indices.lazy.map({ self.key(of: $0) }).first(where: { $0.name == name })
        else { preconditionFailure("no model has the environment \(name)") }
        do {
            let zygote = try engine.zygotes.zygote(for: key, run: number)
            if zygote.state == .ready { feed(.zygoteReady(environment: name)) }
        } catch {
            feed(.zygoteFailed(environment: name, reason: "\(error)"))
        }
    }

    func fork(_ model: Int, _ id: Scheduler.WorkerID) {
        do {
            guard let zygote = engine.zygotes.ready(key(of: model)), let process = zygote.process else {
                throw EngineError.zygote("its zygote is gone")
            }
            let (ours, theirs) = try MessageSocket.pair()
            let (reading, writing) = try DescriptorBox.pipe()
            let identity = engine.identities?.take()
            let worker = WorkerProcess(
                id: id, name: "\(self.id)-\(id)", model: model, zygote: zygote, channel: Channel(ours),
                output: try LineReader(reading), identity: identity)
            worker.zygoteBytes = process.anonymousBytes
            worker.cgroup = cgroup?.makeWorker(worker.name, memoryBytesMax: nil)
            worker.deadline = Deadline.after(seconds: Self.graceSeconds)
            workers[id] = worker
            worker.mark("fork")
            let view = engine.options.isSandboxed ? [try viewFile(for: zygote.key, process)] : []
            try zygote.channel.send(
                Datagram.fork(worker: worker.name, uid: identity?.uid, cpus: Machine.processorCount()),
                [DescriptorBox(try theirs.descriptor.duplicate()), writing] + view)
        } catch {
            workers[id].map(free)
            workers[id] = nil
            feed(.forkFailed(id, reason: "\(error)"))
        }
    }

    func forked(_ worker: WorkerProcess, _ pidfd: DescriptorBox) {
        do {
            let process = ProcessDescriptor(try pidfd.descriptor.duplicate())
            worker.pidfd = process
            giveWay(worker)
            // Before it is given any work: what it allocates is charged to its own group.
            if let entry = worker.cgroup?.entry, let pid = try process.process() {
                worker.isEntering = true
                // The kernel waits there for all processors, for 10 ms and more.
                engine.background.begin(.cgroup) { () -> SystemError? in
                    HoldPoint.cgroup.pass()
                    do throws(SystemError) {
                        try entry(pid)
                        return nil
                    } catch {
                        return error
                    }
                } then: { [weak self] error in
                    self?.enteredGroup(worker, error)
                }
                return
            }
            feed(.forked(worker.id))
        } catch {
            worker.pidfd = try? ProcessDescriptor(pidfd.descriptor.duplicate())
            feed(.forked(worker.id))
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// A worker is in its control group, or could not be put there.
    func enteredGroup(_ worker: WorkerProcess, _ error: SystemError?) {
        guard worker.isEntering else { return }
        guard scheduler.isForking(worker.id) else {
            // The worker's zygote is dead, and so is the worker.
            worker.isEntering = false
            return
        }
        entered(worker)
        // A worker that has died meanwhile is in no group; its end is on its way.
        if let error, error.errno != ESRCH, scheduler.isAlive(worker.id) {
            feed(.sendFailed(worker.id, reason: "it could not be put into its control groups: \(error)"))
        }
    }

    private func entered(_ worker: WorkerProcess) {
        worker.isEntering = false
        feed(.forked(worker.id))
    }

    func send(_ model: Int, _ id: Scheduler.WorkerID, _ grant: Scheduler.Grant) {
        guard let worker = workers[id] else { preconditionFailure("\(id) is not there") }
        grantCount += 1
        worker.grant = grant
        worker.sentAt = MonotonicClock.nanoseconds()
        if !isPreview(model) {
            reports[model].startMilliseconds = elapsed()
            reports[model].executions += 1
            observer?.modelStarted(plan.models[model].name)
        }
        worker.mark("send")
        limit(worker)
        engine.mover.restore(inputs(of: model).map { tables[$0]! }) { [weak self] error in
            self?.handOver(model, to: worker, unless: error)
        }
    }

    // MARK: What it waits for

    /// Adds the descriptors that the run waits for: those of its workers, and of their output.
    func watch(_ watches: inout [Watch]) {
        for worker in workers.values {
            if !worker.channel.isClosed {
                watches.append(
                    Watch(worker.channel.socket.raw, worker.channel.interest) { ready in
                        if ready.contains(.write) { worker.channel.flush() }
                        self.handleMessages(of: worker)
                    })
            }
            if !worker.output.isClosed {
                watches.append(
                    Watch(worker.output.descriptor.raw, isReady: worker.output.hasMore) { _ in
                        self.printOutput(of: worker)
                    })
            }
        }
    }

    func checkDeadlines(_ now: UInt64) {
        for worker in workers.values {
            if let deadline = worker.deadline, now >= deadline {
                worker.deadline = nil
                // A worker that does not exist yet can't be killed: the zygote hangs.
                if scheduler.isForking(worker.id), !worker.isEntering, worker.zygote.state == .ready {
                    engine.zygotes.fail(
                        worker.zygote, "it did not fork a worker within \(Int(Self.graceSeconds)) seconds")
                } else {
                    feed(.timedOut(worker.id))
                }
            }
            if worker.zygote.state == .ready, isLost(worker, now) {
                engine.zygotes.fail(worker.zygote, "it did not tell of the end of a worker")
            }
        }
    }

    /// Whether a worker is dead, or was never forked, and its zygote does not report it: the zygote hangs.
    private func isLost(_ worker: WorkerProcess, _ now: UInt64) -> Bool {
        let seconds: UInt64 = cancelCount > 0 ? 1 : 10
        guard let pidfd = worker.pidfd else {
            guard cancelCount > 0 else { return false }
            worker.deadline = min(worker.deadline ?? .max, now + seconds * 1_000_000_000)
            return false
        }
        guard let killedAt = worker.killedAt, now >= killedAt, now - killedAt >= seconds * 1_000_000_000 else {
            return false
        }
        return (try? Poll.wait([(pidfd.raw, .read)], timeoutMilliseconds: 0))?.first?.contains(.read) ?? false
    }

    func printOutput(of worker: WorkerProcess, isLast: Bool = false) {
        let lines = isLast ? worker.output.lastLines() : worker.output.lines()
        if !lines.isEmpty { observer?.printed(name(of: worker.model), lines: lines) }
    }

    // MARK: Zygotes

    /// A zygote's message about a worker of this run.
    ///
    /// - Returns: the fault of the message; nil when it was in order.
    func handle(_ message: ZygoteMessage, of worker: WorkerProcess) -> String? {
        let isForking = scheduler.isForking(worker.id)
        switch message {
        case .forked(_, let pidfd) where isForking && worker.pidfd == nil: forked(worker, pidfd)
        case .forkFailed(_, let reason) where isForking && worker.pidfd == nil:
            workers[worker.id] = nil
            free(worker)
            feed(.forkFailed(worker.id, reason: reason))
        case .exited(_, let exit) where !isForking || worker.isEntering: exited(worker, exit)
        case .ready, .forked, .forkFailed, .exited: return "it sent an unexpected message '\(message.op.rawValue)'"
        }
        return nil
    }

    /// The workers that were forked from a zygote, or are to be.
    func workers(of zygote: ZygoteProcess) -> [WorkerProcess] { workers.values.filter { $0.zygote === zygote } }

    /// A zygote forks no worker any more. Those that were not forked yet are over with that.
    func zygoteFailed(_ zygote: ZygoteProcess, _ reason: String) {
        feed(.zygoteFailed(environment: zygote.key.name, reason: reason))
    }

    /// A zygote that had failed is dead, and its workers with it.
    ///
    /// - Parameter reason: why some may be alive all the same: what they published can't be trusted to stay as it is.
    func zygoteDied(_ zygote: ZygoteProcess, unless reason: String?) {
        for worker in workers(of: zygote) {
            while handleMessages(of: worker) {}
            if let reason, scheduler.isAlive(worker.id) { feed(.misbehaved(worker.id, reason: reason)) }
            worker.exit = WorkerProcess.Exit(status: 0, signal: SIGKILL, memoryBytesMax: 0, cpuMilliseconds: 0)
            end(worker)
        }
    }

    // MARK: What a worker says

    /// Reads a worker's messages, up to a number: no worker keeps the engine from the others.
    ///
    /// - Returns: whether there may be more.
    @discardableResult
    func handleMessages(of worker: WorkerProcess) -> Bool {
        for _ in 0..<Limit.messagesPerTurn {
            guard !worker.channel.isClosed, scheduler.isAlive(worker.id) else { return false }
            let arrival = worker.channel.receive { (message, came) throws(Malformed) -> WorkerMessage? in
                guard let files = try descriptors(of: message, came, from: worker) else { return nil }
                return try WorkerMessage(message, files, descriptorBytesMax: worker.descriptorBytesLeft)
            }
            switch arrival {
            case .nothing, .closed: return false
            case .malformed(let what): feed(.misbehaved(worker.id, reason: "it sent \(what)"))
            case .message(let message): if let message { handle(message, from: worker) }
            }
        }
        return true
    }

    private func handle(_ message: WorkerMessage, from worker: WorkerProcess) {
        switch message {
        case .started:
            worker.deadline = nil
            worker.mark("started")
            feed(.started(worker.id))
        case .running:
            worker.mark("running")
            feed(.running(worker.id))
        case .wants(let blocks):
            if !wants(worker, blocks) { feed(.misbehaved(worker.id, reason: "it asked for what it can't have")) }
        case .decoded(let pieces):
            if !decoded(worker, pieces) { feed(.misbehaved(worker.id, reason: "it gave what nobody asked for")) }
        case .done(let text):
            lastMessageCame(from: worker)
            worker.text = text
            feed(.done(worker.id))
        case .failed(let error):
            lastMessageCame(from: worker)
            feed(.failed(worker.id, error))
        case .published(let publication):
            lastMessageCame(from: worker)
            guard worker.published == nil else {
                return feed(.misbehaved(worker.id, reason: "it sent a broken result: a second one"))
            }
            worker.published = publication
            worker.descriptorBytesLeft -= publication.descriptor.bytes
            worker.mark("published")
            feed(.published(worker.id))
        }
    }

    private func lastMessageCame(from worker: WorkerProcess) {
        worker.deadline = Deadline.after(seconds: Self.graceSeconds)
    }

    // MARK: Its end

    func kill(_ id: Scheduler.WorkerID) {
        guard let worker = workers[id] else { return }
        worker.killProcesses()
        worker.killedAt = MonotonicClock.nanoseconds()
        worker.deadline = nil
    }

    func exited(_ worker: WorkerProcess, _ exit: WorkerProcess.Exit) {
        if worker.isEntering { entered(worker) }
        worker.exit = exit
        worker.mark("exited")
        // The worker is dead, so nothing comes beyond the messages that its socket holds.
        while handleMessages(of: worker) {}
        end(worker)
    }

    /// Ends a worker that is dead with all it started, once its messages have been read.
    func end(_ worker: WorkerProcess) {
        guard let exit = worker.exit, scheduler.isAlive(worker.id) else { return }
        printOutput(of: worker, isLast: true)
        worker.wasKilledForMemory = (worker.cgroup?.outOfMemoryKills ?? 0) > 0
        worker.outputBytes = UInt64(clamping: engine.store.outputResidentBytes(of: worker.storeID))
        engine.forecast.noteOutput(of: outputKey(of: worker.model), bytes: worker.outputBytes)
        worker.memoryBytes = memoryBytesMax(of: worker, exit)
        if !isPreview(worker.model), worker.grant != nil {
            reports[worker.model].memoryBytesMax = max(reports[worker.model].memoryBytesMax ?? 0, worker.memoryBytes)
        }
        if worker.published != nil || worker.wasKilledForMemory {
            engine.forecast.note(
                subject(worker.model), memoryBytes: worker.memoryBytes, outputBytes: worker.outputBytes,
                wasKilled: worker.wasKilledForMemory,
                seconds: Double(MonotonicClock.nanoseconds() - worker.sentAt) / 1e9)
        }
        feed(
            .exited(
                worker.id,
                .init(status: exit.status, signal: exit.signal, isOutOfMemory: worker.wasKilledForMemory)))
    }

    /// The most memory that was the worker's own, in bytes: the charge of its control group, if it had one, and recycled memory
    /// that its result used.
    ///
    /// Without a group: its largest resident set less that of its zygote, which it began with. Inputs that it read still count.
    private func memoryBytesMax(of worker: WorkerProcess, _ exit: WorkerProcess.Exit) -> UInt64 {
        if let bytes = worker.cgroup?.memoryBytesMax, bytes > 0 {
            let own = (worker.published?.counts).map { $0.total &- $0.resharedBytes } ?? 0
            return bytes + min(worker.recycledBytes, own)
        }
        return exit.memoryBytesMax > worker.zygoteBytes ? exit.memoryBytesMax - worker.zygoteBytes : 0
    }

    /// Gives back everything that the engine holds for a worker, except its segment: `seal` and `discard` care for that.
    func free(_ worker: WorkerProcess) {
        worker.deadline = nil
        if let identity = worker.identity { engine.identities?.give(back: identity) }
        // The group of a table's segment lives as long as the table, so that memory charged to it can be moved to swap.
        worker.cgroup = nil
        if worker.scan != nil {
            engine.decache.end(worker.storeID)
            engine.answerScans()
        }
        // The tables that it read are idle now, and its output may be in the pool.
        engine.tables.noteReaders()
        do {
            try engine.store.end(worker.storeID)
        } catch {
            observer?.note("memory of worker \(worker.name) was not given back: \(error)")
        }
    }
}
