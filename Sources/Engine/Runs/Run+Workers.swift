import Glibc
import SIPC
import Sandbox
import Scheduler
import Store
import System

/// The life of a worker as the engine sees it: fork, send, what it says, its death.
extension Run {
    /// Seconds a worker may take to enter its sandbox, and to leave after its last message.
    static let graceSeconds = 60.0

    func startZygote(_ name: String) {
        guard let key = scheduler.graph.models.indices.lazy.map({ self.key(of: $0) }).first(where: { $0.name == name })
        else { preconditionFailure("no model has the environment \(name)") }
        do {
            let zygote = try engine.zygote(key)
            if zygote.state == .ready { feed(.zygoteReady(environment: name)) }
        } catch {
            feed(.zygoteFailed(environment: name, reason: "\(error)"))
        }
    }

    func fork(_ model: Int, _ id: Scheduler.WorkerID) {
        do {
            guard let zygote = engine.zygotes[key(of: model)], zygote.state == .ready else {
                throw EngineError.zygote("its zygote is gone")
            }
            let (ours, theirs) = try MessageSocket.pair()
            let (reading, writing) = try DescriptorBox.pipe()
            let identity = engine.identities?.take()
            let worker = Worker(
                id: id, name: "\(self.id)-\(id)", model: model, key: zygote.key, channel: Channel(ours),
                output: try LineReader(reading), identity: identity)
            worker.zygoteBytes = zygote.zygote.anonymousBytes
            worker.cgroup = cgroup?.makeWorker(worker.name, memoryBytesMax: nil)
            worker.deadline = Deadline.after(seconds: Self.graceSeconds)
            workers[id] = worker
            worker.mark("fork")
            let view = engine.options.isSandboxed ? [try view(of: model, from: zygote)] : []
            try zygote.channel.send(
                Datagram.fork(worker: worker.name, uid: identity?.uid, cpus: Machine.processorCount()),
                [DescriptorBox(try theirs.descriptor.duplicate()), writing] + view)
        } catch {
            workers[id].map(free)
            workers[id] = nil
            feed(.forkFailed(id, reason: "\(error)"))
        }
    }

    /// What a model's worker sees, as a file: there may be thousands of folders.
    private func view(of model: Int, from zygote: ZygoteProcess) throws -> DescriptorBox {
        let own = isPreview(model) ? [] : plan.models[model].readPaths
        if own.isEmpty, let view = sourcelessViews[zygote.key] { return view }
        let content = folders.view(reading: own).json(tmp: zygote.zygote.shownBelowTmp)
        let view = DescriptorBox(try FileDescriptor.sealedMemory(named: "view", content.utf8))
        if own.isEmpty { sourcelessViews[zygote.key] = view }
        return view
    }

    func forked(_ worker: Worker, _ pidfd: DescriptorBox) {
        do {
            let process = ProcessDescriptor(try pidfd.descriptor.duplicate())
            worker.pidfd = process
            // Before it is given any work: what it allocates is charged to its own group.
            if let entry = worker.cgroup?.entry, let pid = try process.process() {
                worker.isEntering = true
                // The kernel waits there for all processors, for 10 ms and more.
                engine.errands.begin { () -> SystemError? in
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
    func enteredGroup(_ worker: Worker, _ error: SystemError?) {
        guard worker.isEntering else { return }
        guard scheduler.isForking(worker.id) else {
            // Its zygote is dead, and it with it.
            worker.isEntering = false
            return
        }
        entered(worker)
        // A worker that has died meanwhile is in no group; its end is on its way.
        if let error, error.errno != ESRCH, scheduler.isAlive(worker.id) {
            feed(.sendFailed(worker.id, reason: "its memory could not be limited: \(error)"))
        }
    }

    private func entered(_ worker: Worker) {
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
        engine.restore(inputs(of: model).map { tables[$0]! }) { [weak self] error in
            self?.handOver(model, to: worker, unless: error)
        }
    }

    /// The inputs are there, unless something went wrong with them.
    private func handOver(_ model: Int, to worker: Worker, unless failure: (any Error)?) {
        // It may have been killed while its inputs were read back.
        guard scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
        do {
            if let failure { throw failure }
            try handOver(model, to: worker)
            let timeout = isPreview(model) ? nil : plan.models[model].timeoutSeconds
            worker.deadline = timeout.map { Deadline.after(seconds: $0) }
        } catch {
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// Holds the worker to what it was granted.
    private func limit(_ worker: Worker) {
        guard let bytes = worker.grant?.memoryBytesMax, let cgroup = worker.cgroup else { return }
        cgroup.setMemoryMax(UInt64(bytes))
    }

    /// Sends the segments, the tables, the task, and the segment to write to.
    private func handOver(_ model: Int, to worker: Worker) throws {
        for table in Set(inputs(of: model).map { tables[$0]! }) { engine.comesBack(table) }
        let loans = inputs(of: model).map { engine.store.lend(tables[$0]!, to: worker.storeID) }
        try send(segmentsOf: loans, to: worker)
        for (index, loan) in loans.enumerated() {
            try worker.channel.send(Datagram.table(input: index), [loan.descriptor])
        }
        let limits = engine.arenaLimits(memoryBytesMax: worker.grant?.memoryBytesMax.map { UInt64($0) })
        let device = engine.kernelZeroDevice
        // Moved memory comes after the rest. Huge pages keep their place in 2 MiB, so there may be as many holes as pages.
        let output = try engine.store.makeOutputSegment(
            bytes: limits.fileBytes, for: worker.storeID, growthBytesMax: device == nil ? 0 : limits.fileBytes,
            expectedBytes: engine.outputBytes[outputKey(of: model)] ?? 0, model: outputKey(of: model))
        worker.segment = output.id
        worker.recycledBytes = UInt64(output.recycledBytes)
        let task = DescriptorBox(try FileDescriptor.sealedMemory(named: "task", self.task(of: model).utf8))
        let code = try code(for: model)
        try worker.channel.send(
            Datagram.run(
                arenaFileBytes: UInt64(output.bytes), arenaBytesMax: limits.bytesMax,
                decacheBytesMax: usesDeCache(model) ? decacheBytesMax : nil, hasCode: code != nil),
            [task, output.file] + [code, device].compactMap(\.self))
        // What is recycled is in use now.
        engine.tellPool()
    }

    /// Sends the segments of tables, each once.
    func send(segmentsOf loans: [Loan], to worker: Worker) throws {
        var segments: [SegmentID: DescriptorBox] = [:]
        for loan in loans {
            for segment in loan.segments { segments[segment.id] = segment.file }
        }
        let ids = segments.keys.sorted()
        for start in stride(from: 0, to: ids.count, by: Datagram.descriptorsMax) {
            let chunk = ids[start..<min(start + Datagram.descriptorsMax, ids.count)]
            try worker.channel.send(Datagram.segments(chunk.map(\.rawValue)), chunk.map { segments[$0]! })
        }
    }

    /// What a model is called across all runs and projects.
    private func outputKey(of model: Int) -> String { plan.project.folder + "\0" + name(of: model) }

    private func task(of model: Int) -> JSONValue {
        guard isPreview(model) else { return plan.models[model].task }
        return [
            "kind": "preview", "rows": .integer(Int64(options.previewRows)),
            "width": .integer(Int64(options.previewWidth)),
        ]
    }

    /// The project's code, one file for all workers of the run; nil for a model that has none.
    private func code(for model: Int) throws -> DescriptorBox? {
        guard !isPreview(model), plan.models[model].kind == "python", let handedOver = plan.handedOver,
            !handedOver.isEmpty
        else { return nil }
        if let codeFile { return codeFile }
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "code", [UInt8](handedOver)))
        codeFile = file
        return file
    }

    // MARK: What a worker says

    /// Reads what a worker has sent; a part of it, if that is much: nobody keeps the engine from the others.
    ///
    /// - Returns: whether there may be more.
    @discardableResult
    func handleMessages(of worker: Worker) -> Bool {
        for _ in 0..<64 {
            guard !worker.channel.isClosed, scheduler.isAlive(worker.id) else { return false }
            switch worker.channel.receive() {
            case .nothing, .closed: return false
            case .malformed(let what): feed(.misbehaved(worker.id, reason: "it sent \(what)"))
            case .message(let message, let descriptors): handle(message, descriptors, from: worker)
            }
        }
        return true
    }

    private func handle(_ message: Datagram, _ descriptors: [DescriptorBox], from worker: Worker) {
        switch message.op {
        case "started":
            worker.deadline = nil
            worker.mark("started")
            feed(.started(worker.id))
        case "running":
            worker.mark("running")
            feed(.running(worker.id))
        case "wants":
            if !wants(worker, descriptors) {
                feed(.misbehaved(worker.id, reason: "it asked for what it can't have"))
            }
        case "decoded":
            if !decoded(worker, descriptors) {
                feed(.misbehaved(worker.id, reason: "it gave what nobody asked for"))
            }
        case "done":
            lastMessageCame(from: worker)
            worker.text = message.body["text"]?.string
            feed(.done(worker.id))
        case "failed":
            lastMessageCame(from: worker)
            feed(.failed(worker.id, Scheduler.WorkerError(message.body["error"])))
        case "published":
            lastMessageCame(from: worker)
            if worker.published == nil, let published = Worker.Published(message, descriptors) {
                worker.published = published
                worker.mark("published")
                feed(.published(worker.id))
            } else {
                feed(.misbehaved(worker.id, reason: "it sent a broken result"))
            }
        default: feed(.misbehaved(worker.id, reason: "it sent an unknown message '\(message.op.prefix(40))'"))
        }
    }

    private func lastMessageCame(from worker: Worker) {
        worker.deadline = Deadline.after(seconds: Self.graceSeconds)
    }

    // MARK: Its end

    func kill(_ id: Scheduler.WorkerID) {
        guard let worker = workers[id] else { return }
        worker.killProcesses()
        worker.killedAt = MonotonicClock.nanoseconds()
        worker.deadline = nil
    }

    func exited(_ worker: Worker, _ message: Datagram) {
        if worker.isEntering { entered(worker) }
        worker.exit = Worker.Exit(
            status: Int32(clamping: message.body["status"]?.integer ?? 0),
            signal: message.body["signal"]?.integer.map { Int32(clamping: $0) },
            memoryBytesMax: UInt64(clamping: message.body["memory_bytes_max"]?.integer ?? 0),
            cpuMilliseconds: message.body["cpu_ms"]?.number ?? 0)
        worker.mark("exited")
        // It is dead: what is left is what the socket holds.
        while handleMessages(of: worker) {}
        end(worker)
    }

    /// The worker and all it started are dead, and what it said has been read.
    func end(_ worker: Worker) {
        guard let exit = worker.exit, scheduler.isAlive(worker.id) else { return }
        printOutput(of: worker)
        worker.wasKilledForMemory = (worker.cgroup?.outOfMemoryKills ?? 0) > 0
        worker.outputBytes = UInt64(engine.store.outputResidentBytes(of: worker.storeID))
        engine.outputBytes[outputKey(of: worker.model)] = max(1, Int(worker.outputBytes))
        worker.memoryBytes = memoryBytesMax(of: worker, exit)
        if !isPreview(worker.model), worker.grant != nil {
            reports[worker.model].memoryBytesMax = max(reports[worker.model].memoryBytesMax ?? 0, worker.memoryBytes)
        }
        if worker.published != nil || worker.wasKilledForMemory { noteNeed(of: worker.model, worker) }
        feed(
            .exited(
                worker.id,
                .init(status: exit.status, signal: exit.signal, isOutOfMemory: worker.wasKilledForMemory)))
    }

    /// The most memory that was the worker's own, in bytes: what its control group was charged for, if it had one, and what
    /// it was given faulted in.
    ///
    /// Else its largest resident set less that of its zygote, which it began with; what it read of its inputs still counts.
    private func memoryBytesMax(of worker: Worker, _ exit: Worker.Exit) -> UInt64 {
        if let bytes = worker.cgroup?.memoryBytesMax, bytes > 0 {
            let own = (worker.published?.counts).map { $0.total &- $0.resharedBytes } ?? 0
            return bytes + min(worker.recycledBytes, own)
        }
        return exit.memoryBytesMax > worker.zygoteBytes ? exit.memoryBytesMax - worker.zygoteBytes : 0
    }
}
