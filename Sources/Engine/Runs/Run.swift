import Glibc
import Sandbox
import Scheduler
import Store
import System

/// One execution of a plan: feeds the scheduler with events, and carries out its actions.
///
/// Owns the scheduler and the workers; what it does with tables is in `RunTables.swift`, how its models ask for slots and memory in
/// `ResourceBridge.swift`. Lives on the engine's thread; nothing here waits but the one `poll`.
final class Run {
    unowned let engine: Engine
    let plan: Plan
    let number: Int
    /// Its id for its user.
    let id: String
    /// Its name among the runs of all engines that live.
    private let name: String
    let options: RunOptions
    private(set) weak var observer: (any RunObserver)?
    /// What its workers are handed.
    let files: WorkerFiles
    /// The control group of all its workers; nil where none can be had.
    let cgroup: RunCgroup?
    private(set) var scheduler: Scheduler
    /// The models that workers make previews of: those that are shown, without those whose text is kept.
    let previewOf: [Int]
    private(set) var workers: [Scheduler.WorkerID: WorkerProcess] = [:]
    /// The published tables that are still held.
    let tables: RunTables
    /// The tables that are being written to files.
    let exports: TableExports
    /// The models whose tables are read back to be handed over.
    var handing: Set<Int> = []
    /// The tables that are on their way to the catalog.
    let materializations: Materializations
    /// What the report will say.
    let record: RunRecord
    /// How often the user has asked for an end.
    private var cancelCount = 0
    /// Events that the scheduler has not been handed: those that come up while actions are carried out.
    private var events: [Scheduler.Event] = []
    private var isHandling = false
    /// How it ended; nil before that, and as long as tables are being written to files.
    private(set) var outcome: Scheduler.Outcome?
    /// The models that succeeded.
    private(set) var succeeded: Set<Int> = []
    /// How its models ended.
    private var modelsOutcome: Scheduler.Outcome?
    /// The scans that have a column of a file in common with another scan of the plan.
    private(set) lazy var overlappingScans = plan.overlappingScans
    /// Whether its user knows that SQL models can't spill.
    var hasNotedScratch = false
    /// How many grants its models were given.
    private(set) var grantCount = 0

    /// A run that has not started.
    ///
    /// - Parameters:
    ///   - prepared: what was found out for it.
    ///   - beganAt: when it was asked for.
    init(
        _ plan: Plan, _ options: RunOptions, engine: Engine, number: Int, observer: (any RunObserver)?,
        _ prepared: RunPreparation, beganAt: UInt64
    ) throws {
        self.plan = plan
        self.options = options
        self.engine = engine
        self.number = number
        self.observer = observer
        name = "r\(getpid())-\(number)"
        id = options.id ?? name
        files = WorkerFiles(plan, seeing: prepared.view)
        tables = RunTables(engine.tables, run: number)
        exports = TableExports(engine.store, engine.background, run: number)
        materializations = Materializations(
            warehouse: plan.catalog?.warehouse, engine.background, run: number)
        record = RunRecord(plan, usesCache: options.usesCache, beganAt: beganAt)
        cgroup = engine.cgroups?.makeRun(name, memoryBytesMax: options.memoryBytesMax)
        let cached = plan.models.map { model in
            options.usesCache ? model.key.flatMap { engine.result($0, prepared.saved) } : nil
        }
        let format = PreviewFormat(options)
        let shown = options.previewRows > 0 ? plan.models.indices.filter { plan.models[$0].final } : []
        let texts = shown.map { model in cached[model].flatMap { engine.results.preview(of: $0, as: format) } }
        previewOf = zip(shown, texts).compactMap { $1 == nil ? $0 : nil }
        let graph = try Self.graph(
            plan, options, engine.options, seeing: prepared.view, isCached: cached.map { $0 != nil },
            previewOf: previewOf)
        scheduler = Scheduler(
            graph: graph, workersAhead: min(engine.options.slots, 1 << 20) + 1,
            failurePolicy: options.keepsGoing ? .keepGoing : .stop)
        for (model, entry) in cached.enumerated() {
            if let entry { use(entry, for: model) }
        }
        for (model, text) in zip(shown, texts) { if let text { record.show(text, of: model) } }
    }

    /// Begins the run; the engine's loop does the rest, until there is an outcome.
    func start() {
        record.begin(engine.store, engine.mover)
        observer?.runBegan(plan)
        let isLimited =
            options.memoryBytesMax != nil || engine.options.memoryBytesMax != nil
            || plan.models.contains { $0.memoryBytesMax != nil }
        if isLimited, let problem = engine.memoryLimitProblem { observer?.note("warning: \(problem)") }
        feed(.start)
    }

    var isCancelled: Bool { cancelCount > 0 }

    /// Cancels the run for its user. A user who asks twice does not want to wait for anything.
    func cancel() {
        guard outcome == nil else { return }
        cancelCount += 1
        feed(.cancel)
        stopExports(waits: cancelCount == 1)
        stopCommits(waits: cancelCount == 1)
        // A zygote that serves others as well is not killed for this.
        if cancelCount > 1 { engine.zygotes.endZygotes(ofOnly: self) }
        engine.resources.decide()
    }

    /// Ends the run when its models are over and their tables are where they are to be.
    func endIfOver() {
        guard exports.isEmpty, handing.isEmpty, outcome == nil, let modelsOutcome else { return }
        if materializations.isCommitting || beginCommit(after: modelsOutcome) { return }
        outcome =
            isCancelled && modelsOutcome.status == .success && !isCommitted ? .cancelled(modelsOutcome) : modelsOutcome
    }

    /// The report of a run with an outcome, memory figures included.
    func finish() -> RunReport {
        guard let outcome else { preconditionFailure("the run is not over") }
        record.noteMemory(
            engine.store, engine.mover, runBytesMax: cgroup?.memory.bytesPeak, limitBytes: options.memoryBytesMax)
        return record.report(id, outcome.status, materializations.published)
    }

    // MARK: Events in, actions out

    /// Hands an event to the scheduler and carries out its actions; events that come up meanwhile follow in order.
    func feed(_ event: Scheduler.Event) {
        events.append(event)
        guard !isHandling else { return }
        isHandling = true
        defer { isHandling = false }
        while !events.isEmpty {
            for action in scheduler.handle(events.removeFirst()) { perform(action) }
        }
    }

    private func perform(_ action: Scheduler.Action) {
        switch action {
        case .startZygote(let name): startZygote(name)
        case .ask(let model, let rank, let isRetry): ask(model, rank, isRetry: isRetry)
        case .withdraw(let model): withdraw(model)
        case .giveBack(let model): giveBack(model)
        case .fork(let model, let id): fork(model, id)
        case .move(let id, let model): workers[id]?.serve(model)
        case .send(let model, let id, let grant): send(model, workers[id]!, grant)
        case .kill(let id): workers[id]?.kill()
        case .seal(let model, let id): seal(model, of: workers.removeValue(forKey: id)!)
        case .discard(let id): discard(id)
        case .release(let model): release(model)
        case .settle(let model, let status):
            if status == .success { succeeded.insert(model) } else { succeeded.remove(model) }
            settle(model, status)
            beginReadyCommits()
        case .finish(let outcome):
            modelsOutcome = outcome
            record.end()
            endIfOver()
        }
    }

    // MARK: A worker's beginning

    private func fork(_ model: Int, _ id: Scheduler.WorkerID) {
        do {
            guard let zygote = engine.zygotes.ready(key(of: model)), let process = zygote.process else {
                throw EngineError.zygote("its zygote is gone")
            }
            let (ours, theirs) = try MessageSocket.pair()
            let (reading, writing) = try DescriptorBox.pipe()
            let name = "\(self.name)-\(id)"
            let worker = WorkerProcess(
                id, name, model: model, of: zygote, zygoteBytes: process.anonymousBytes, channel: Channel(ours),
                output: try LineReader(reading), as: engine.identities?.take(),
                in: cgroup?.makeWorker(name, memoryBytesMax: nil))
            workers[id] = worker
            let view = engine.options.isSandboxed ? [try files.view(for: zygote.key, process)] : []
            let descriptors = [DescriptorBox(try theirs.descriptor.duplicate()), writing] + view
            guard hasScratch(model) else { return try zygote.fork(worker, descriptors) }
            provideScratch(worker) { [unowned self] worker in
                do {
                    try zygote.fork(worker, descriptors + [worker.scratch?.mount].compactMap(\.self))
                    worker.scratch?.mount = nil
                } catch {
                    forkFailed(id, error)
                }
            }
        } catch {
            forkFailed(id, error)
        }
    }

    private func forkFailed(_ id: Scheduler.WorkerID, _ error: any Error) {
        if let worker = workers.removeValue(forKey: id) { end(worker) }
        feed(.forkFailed(id, reason: "\(error)"))
    }

    private func forked(_ worker: WorkerProcess, _ pidfd: DescriptorBox) {
        do {
            try worker.forked(pidfd)
            // A worker that no group keeps from it must not take the engine's time.
            if !engine.sharesProcessor, let process = try? worker.pidfd?.process() {
                Nice.set(Nice.worker, thread: process)
            }
            let isEntering = try worker.enterGroup(by: engine.background) { [weak self] error in
                self?.enteredGroup(worker, error)
            }
            if !isEntering { feed(.forked(worker.id)) }
        } catch {
            // It is there, and no good: it is killed.
            feed(.forked(worker.id))
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// A worker is in its control group, or could not be put there.
    private func enteredGroup(_ worker: WorkerProcess, _ error: SystemError?) {
        guard worker.isEntering else { return }
        worker.endEntering()
        // If its zygote is dead, so is the worker.
        guard scheduler.isForking(worker.id) else { return }
        feed(.forked(worker.id))
        // A worker that has died meanwhile is in no group; its end is on its way.
        if let error, error.errno != ESRCH, scheduler.isAlive(worker.id) {
            feed(.sendFailed(worker.id, reason: "it could not be put into its control groups: \(error)"))
        }
    }

    // MARK: Its work

    private func send(_ model: Int, _ worker: WorkerProcess, _ grant: Scheduler.Grant) {
        grantCount += 1
        if !isPreview(model) {
            record.begin(model)
            observer?.modelStarted(plan.models[model].name)
        }
        worker.begin(grant)
        engine.mover.restore(inputs(of: model).map { tables[$0]! }) { [weak self] failure in
            // The worker may have been killed while its inputs were read back.
            guard let self, scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
            do {
                if let failure { throw failure }
                try handOver(model, to: worker)
                worker.mustGoOn(within: timeout(of: model)?.seconds)
            } catch {
                feed(.sendFailed(worker.id, reason: "\(error)"))
            }
        }
    }

    /// Sends the segments, the tables, the task, the code, and the segment to write to.
    private func handOver(_ model: Int, to worker: WorkerProcess) throws {
        let inputs = inputs(of: model).map { tables[$0]! }
        let loans = inputs.map { engine.mover.lend($0, to: worker.storeID) }
        try worker.give(inputs: loans)
        let limits = engine.arenaLimits(memoryBytesMax: worker.grant?.memoryBytesMax.map { UInt64($0) })
        // Moved memory is appended. Huge pages keep their place in 2 MiB, so there may be as many holes as pages.
        let output = try engine.store.makeOutputSegment(
            bytes: limits.fileBytes, for: worker.storeID,
            growthBytesMax: engine.kernelZeroDevice == nil ? 0 : limits.fileBytes,
            expectedBytes: engine.forecast.outputBytes(of: outputKey(of: model)), model: outputKey(of: model))
        let code = isPreview(model) ? nil : try files.code(for: plan.models[model])
        let sources = try sources(of: model)
        try worker.run(
            task(of: model), writingTo: output, bytesMax: limits.bytesMax,
            decacheBytesMax: usesDeCache(model) ? decacheBytesMax : nil, code: code, sources: sources,
            device: engine.kernelZeroDevice, sql: sqlLimits(of: model, worker))
    }

    // MARK: What it says

    /// Adds the descriptors that the run waits for: those of its workers, and of their output.
    func watch(_ watches: inout [Watch]) {
        for worker in workers.values {
            if !worker.channel.isClosed {
                watches.append(
                    Watch(worker.channel.socket.raw, worker.channel.interest) { ready in
                        if ready.contains(.write) { worker.channel.flush() }
                        self.hear(worker)
                    })
            }
            if !worker.output.isClosed {
                watches.append(
                    Watch(worker.output.descriptor.raw, isReady: worker.output.hasMore) { _ in
                        self.print(worker.output.lines(), of: worker)
                    })
            }
        }
    }

    func print(_ lines: [String], of worker: WorkerProcess) {
        if !lines.isEmpty { observer?.printed(name(of: worker.model), lines: lines) }
    }

    /// Reads a worker's messages, up to a number: no worker keeps the engine from the others.
    ///
    /// - Returns: whether there may be more.
    @discardableResult
    func hear(_ worker: WorkerProcess) -> Bool {
        for _ in 0..<Limit.messagesPerTurn {
            guard !worker.channel.isClosed, scheduler.isAlive(worker.id) else { return false }
            let arrival = worker.channel.receive { (message, came) throws(Malformed) in
                try WorkerMessage(message, came, from: worker)
            }
            switch arrival {
            case .nothing, .closed: return false
            case .malformed(let what): misbehaved(worker, "it sent \(what)")
            case .message(let message): if let message { handle(message, from: worker) }
            }
        }
        return true
    }

    private func handle(_ message: WorkerMessage, from worker: WorkerProcess) {
        switch message {
        case .started:
            worker.mustGoOn(within: nil)
            worker.mark("started")
            feed(.started(worker.id))
        case .running:
            worker.mark("running")
            feed(.running(worker.id))
        case .wants(let blocks):
            if !wants(worker, blocks) { misbehaved(worker, "it asked for what it can't have") }
        case .decoded(let pieces):
            if !decoded(worker, pieces) { misbehaved(worker, "it gave what nobody asked for") }
        case .wantsFiles(let count): wantsFiles(worker, count)
        case .wantsRoom: wantsRoom(worker)
        case .wrote(let content): wrote(worker, content)
        case .done(let text):
            worker.mustGoOn(within: WorkerProcess.graceSeconds)
            worker.show(text)
            feed(.done(worker.id))
        case .failed(let error):
            worker.mustGoOn(within: WorkerProcess.graceSeconds)
            feed(.failed(worker.id, error))
        case .published(let publication):
            worker.mustGoOn(within: WorkerProcess.graceSeconds)
            guard worker.publish(publication) else {
                return misbehaved(worker, "it sent a broken result: a second one")
            }
            feed(.published(worker.id))
            handOver(publication, of: worker)
        }
    }

    func misbehaved(_ worker: WorkerProcess, _ reason: String) {
        feed(.misbehaved(worker.id, reason: reason))
    }

    // MARK: Its end

    private func exited(_ worker: WorkerProcess, _ exit: WorkerProcess.Exit) {
        if worker.isEntering {
            worker.endEntering()
            feed(.forked(worker.id))
        }
        worker.exited(exit)
        worker.mark("exited")
        while hear(worker) {}
        noteDeath(of: worker, exit)
    }

    /// A worker is dead with all it started, and its messages have been read.
    func noteDeath(of worker: WorkerProcess, _ exit: WorkerProcess.Exit) {
        guard scheduler.isAlive(worker.id) else { return }
        print(worker.output.lastLines(), of: worker)
        let model = worker.model
        let (bytes, wasKilled) = (worker.memoryBytesMax, worker.wasKilledForMemory)
        worker.noteOutput(bytes: engine.store.outputResidentBytes(of: worker.storeID))
        engine.forecast.noteOutput(of: outputKey(of: model), bytes: worker.outputBytes)
        if !isPreview(model), worker.grant != nil { record.noteMemory(of: model, bytes: bytes) }
        if worker.isHandedOver { record.noteEnd(of: model, worker) }
        if worker.published != nil || wasKilled {
            engine.forecast.note(
                subject(model), memoryBytes: bytes, outputBytes: worker.outputBytes, wasKilled: wasKilled,
                seconds: worker.secondsSinceSend)
        }
        feed(.exited(worker.id, .init(status: exit.status, signal: exit.signal, isOutOfMemory: wasKilled)))
    }

    /// Ends a worker that is over and left no table.
    private func discard(_ id: Scheduler.WorkerID) {
        guard let worker = workers.removeValue(forKey: id) else { return }
        if let text = worker.text, isPreview(worker.model) { show(text, of: shownModel(worker.model)) }
        end(worker)
    }

    /// A preview has been made. The text of a result that is kept is kept with it.
    private func show(_ text: String, of model: Int) {
        record.show(text, of: model)
        if let key = plan.models[model].key, let table = tables[model] {
            engine.results.keep(preview: text, of: table, key: key, as: PreviewFormat(options))
        }
    }

    /// Gives back everything that the engine holds for a worker; its segment lives on if tables name it.
    func end(_ worker: WorkerProcess) {
        worker.leave()
        if let identity = worker.identity { engine.identities?.give(back: identity) }
        if let scratch = worker.scratch { engine.scratch.remove(scratch.name) }
        if worker.scan != nil {
            engine.decache.end(worker.storeID)
            engine.answerScans()
        }
        do {
            try engine.store.end(worker.storeID)
        } catch {
            observer?.note("memory of worker \(worker.name) was not given back: \(error)")
        }
    }
}

/// What a zygote says.
extension Run {
    func ready(_ zygote: ZygoteProcess) { feed(.zygoteReady(environment: zygote.key.name)) }

    func said(_ message: ZygoteMessage, of name: String, by zygote: ZygoteProcess) -> String? {
        // A worker of a run that is over can be no more: a run ends when all its workers are over.
        guard let worker = workers.values.first(where: { $0.name == name }) else { return nil }
        guard worker.zygote === zygote else { return "it told of a worker that is not its own" }
        let isForking = scheduler.isForking(worker.id)
        switch message {
        case .forked(_, let pidfd) where isForking && worker.pidfd == nil: forked(worker, pidfd)
        case .forkFailed(_, let reason) where isForking && worker.pidfd == nil:
            workers[worker.id] = nil
            end(worker)
            feed(.forkFailed(worker.id, reason: reason))
        case .exited(_, let exit) where !isForking || worker.isEntering: exited(worker, exit)
        case .ready, .forked, .forkFailed, .exited: return "it sent an unexpected message '\(message.op.rawValue)'"
        }
        return nil
    }
}
