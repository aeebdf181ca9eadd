import Glibc
import SIPC
import Sandbox
import Scheduler
import Store
import System

/// Runs plans, and keeps zygotes and faulted-in segments warm from run to run.
///
/// Owns everything it starts. `shutDown`, or the end of the process by whatever means, leaves no process, segment, cgroup or
/// mount behind. Used on one thread, the one that made it: a zygote dies with the thread that started it.
public final class Engine {
    let installation: Installation
    let options: EngineOptions
    let environment: [String: String]
    let store: SegmentStore
    let cgroups: CgroupTree?
    let identities: WorkerUsers?
    private(set) var janitor: Janitor?
    let background: BackgroundWork
    /// Opens sources for scans.
    let fileBroker = FileBroker()
    /// Folders on a disk for workers whose engines spill.
    let scratch: ScratchFolders
    /// The kernel module, opened once; `absent` also when the options turn it off.
    let kernelZero: KernelZero.Presence
    let zygotes: ZygotePool
    /// The environments that runs wait for.
    let environments: EnvironmentMaker
    /// How zygotes are started.
    let zygoteStarter: ZygoteStarter
    /// The results that outlive the engine; nil where none are to.
    let saved: SavedResults?
    /// What the engine has to say that belongs to no run.
    let notes = Notes()
    /// The most memory that is kept for later outputs, in bytes.
    let poolBytesMax: Int
    /// The tables that programs outside the engine have.
    let leases: TableLeases
    /// The way to the resource manager, which decides which models may run, and which tables go when memory is short.
    let resources: ResourceBridge
    /// The tables that the engine holds, for its runs and its caches.
    let tables: TableRegistry
    /// The owner of all moves of tables: out of memory, and back.
    let mover: TableMover
    /// What scans have decoded, and are decoding.
    let decache = DeCache()
    /// Whole scans that several runs want.
    let scans = SharedScans()
    /// The results that are kept for later runs.
    let results = ResultsCache()
    /// What models are expected to need.
    let forecast: MemoryForecast
    /// The runs that are not over.
    private(set) var runs: [Run] = []
    private var runCount = 0
    /// What is to be called from the loop later.
    let timers: Timers
    /// When memory is measured.
    let memoryMeter = MemoryMeter()
    /// Which models keep their slots without getting on.
    let slotWatcher = SlotWatcher()

    /// An engine that has started nothing but its janitor.
    public init(installation: Installation, options: EngineOptions, environment: [String: String]) throws {
        self.installation = installation
        self.options = options
        self.environment = environment
        // Every table and segment that is alive holds descriptors.
        FileDescriptor.raiseLimit()
        // Workers that run as other users can't reopen the engine's files for writing; otherwise files are sealed.
        let hasIdentities = options.isSandboxed && WorkerUsers.isAvailable
        identities = hasIdentities ? WorkerUsers() : nil
        poolBytesMax = (Self.memoryBytesThere ?? 0) / 8
        let background = try BackgroundWork()
        self.background = background
        store = SegmentStore(
            lock: hasIdentities ? .readOnlyDescriptor : .sealed, poolBytesMax: poolBytesMax,
            chores: { chore, work, then in
                switch chore {
                case .free: background.begin(.free, work, then: then)
                case .clean: background.begin(.clean, work, then: then)
                case .punch: background.beginLate(.free, work, then: then)
                }
            })
        saved = try options.cacheFolder.map { try SavedResults($0) }
        let spillFolder = try Self.spillFolder(options, environment)
        scratch = ScratchFolders(
            in: spillFolder?.path, background, fileBroker, isSandboxed: options.isSandboxed)
        tables = TableRegistry(
            store, ways: spillFolder == nil ? options.eviction.ways.subtracting([.spill]) : options.eviction.ways)
        let timers = Timers()
        self.timers = timers
        mover = TableMover(store, tables, background, spillFolder: spillFolder)
        leases = TableLeases(store, tables, mover, timers)
        resources = ResourceBridge(
            .init(
                memoryBytesMax: Self.memoryBytesMax(options).map { Int(clamping: $0) }, slots: options.slots,
                workerBytesMin: 16 << 20, spilledComesBack: store.lock == .sealed))
        forecast = MemoryForecast(History.path(environment).map { History($0) })
        zygoteStarter = ZygoteStarter(installation, options, environment, memoryBytes: Self.memoryBytesThere)
        zygotes = ZygotePool(background, spawn: zygoteStarter.spawn)
        environments = EnvironmentMaker(background, EnvironmentTools(installation, environment))
        kernelZero = options.hasKernelZero ? KernelZero.find() : .absent
        cgroups = CgroupTree.make()
        cgroups?.elsewhere = { work, then in background.begin(.free, work, then: then) }
        if let bytes = options.memoryBytesMax { cgroups?.setMemoryMax(bytes) }
        janitor = try cgroups.map { try Janitor.start(executable: installation.executable, cgroups: $0) }
        let executable = installation.executable
        scratch.onPlace = { [weak self] path in
            guard let self else { return }
            if janitor == nil { janitor = try? Janitor.start(executable: executable, cgroups: nil) }
            janitor?.remember(scratch: path)
        }
        tables.users = self
        mover.delegate = self
        resources.user = self
    }

    /// Reads a project; no engine is needed for that.
    ///
    /// - Parameters:
    ///   - request: what it is read for.
    ///   - writtenFolders: folders that the run will write to.
    ///   - prepares: whether sources that are missing are made first, if the project says how.
    ///   - servedAt: where an engine may serve, which has a warm planner.
    ///   - signals: an arriving signal ends it early, as `EngineError.interrupted`.
    public static func plan(
        installation: Installation, environment: [String: String], folder: String, _ request: PlanRequest,
        writtenFolders: [String] = [], prepares: Bool = false, isSandboxed: Bool = true,
        servedAt: ServeAddress? = nil, signals: SignalDescriptor? = nil, note: @escaping (String) -> Void = { _ in }
    ) throws -> Plan {
        try Planner(
            installation: installation, environment: environment, writtenFolders: writtenFolders,
            isSandboxed: isSandboxed, signals: signals, servedAt: servedAt
        ).plan(folder: folder, request, prepares: prepares, note: note)
    }

    /// Gets ready for the run of a project that is about to be planned: what all runs need is started meanwhile.
    ///
    /// A project whose models all have environments of their own does not need it, which costs no time of the run's.
    public func expectRun(of folder: String) {
        guard let folder = Path.resolved(folder) else { return }
        zygotes.startEarly(ZygoteKey(early: installation, project: folder))
    }

    /// Runs a plan to its end. Failures of models are in the report, not thrown. A signal cancels it.
    public func run(
        _ plan: Plan, _ options: RunOptions = RunOptions(), observer: (any RunObserver)? = nil,
        signals: SignalDescriptor? = nil
    ) throws -> RunReport {
        var run: Run?
        var isStopped = false
        var watches: [Watch] = []
        if let signals {
            watches.append(
                Watch(signals.raw) { _ in
                    while let signal = try? signals.next() {
                        observer?.noteStop(by: signal)
                        isStopped = true
                        run?.cancel()
                    }
                })
        }
        let askedAt = MonotonicClock.nanoseconds()
        var prepared: RunPreparation?
        prepare(plan, options, note: { observer?.note($0) }) { prepared = $0 }
        while prepared == nil {
            waitAndHandle(beside: watches)
            // Nothing has begun; whatever is slow there ends with the command.
            if isStopped, prepared == nil { throw EngineError.interrupted }
        }
        guard let prepared else { throw EngineError.interrupted }
        let begun = try begin(plan, options, observer: observer, prepared, askedAt: askedAt)
        run = begun
        if isStopped { begun.cancel() }
        while begun.outcome == nil { waitAndHandle(beside: watches) }
        return end(begun)
    }

    /// Begins a run beside the others. The caller keeps the observer alive.
    ///
    /// - Parameters:
    ///   - saved: the files that `openSaved` gave for it.
    ///   - askedAt: when the run was asked for.
    func begin(
        _ plan: Plan, _ options: RunOptions, observer: (any RunObserver)?, _ prepared: RunPreparation,
        askedAt: UInt64
    ) throws -> Run {
        runCount += 1
        leases.endWhatIsOver()
        if runs.isEmpty { store.restartPeak() }
        let run = try Run(
            plan, options, engine: self, number: runCount, observer: observer, prepared, beganAt: askedAt)
        runs.append(run)
        tell(
            .runBegan(
                run.number, priority: options.priority, slots: min(options.slots ?? .max, self.options.slots),
                memoryBytesMax: options.memoryBytesMax.map { Int(clamping: $0) }))
        run.start()
        resources.decide()
        return run
    }

    /// Takes the report of a run that has an outcome; the engine then forgets the run.
    func end(_ run: Run) -> RunReport {
        runs.removeAll { $0 === run }
        tell(.runEnded(run.number))
        resources.decide()
        zygotes.end(run)
        environments.end(run.number)
        forecast.save(by: background)
        return run.finish()
    }

    /// Ends the zygotes, and with them all that they started.
    public func shutDown() {
        environments.shutDown()
        zygotes.shutDown()
        fileBroker.stop()
        scratch.shutDown()
        cgroups?.remove()
        janitor?.dismiss()
    }

    deinit {
        // Runs that aren't over can't be told any more.
        for run in runs { zygotes.end(run) }
        shutDown()
    }

    /// How large a worker's output segment may be, and how much of it may be used.
    func arenaLimits(memoryBytesMax: UInt64?) -> (fileBytes: Int, bytesMax: UInt64) {
        let total = Self.memoryBytesThere ?? (8 << 30)
        let bytesMax = min(memoryBytesMax ?? .max, UInt64(total))
        // Address space is plenty and holes cost nothing: room for extents to grow in place.
        let file = max(64 << 30, total * 4)
        return (file / Machine.hugePageBytes * Machine.hugePageBytes, bytesMax)
    }

    /// Why the kernel module is not used although it is there, and what to do; nil when it is used, absent or turned off.
    public var kernelZeroProblem: String? {
        if case .unusable(let reason) = kernelZero { return reason }
        return nil
    }

    /// The module's device, which workers move their own memory through; nil where there is none to use.
    var kernelZeroDevice: DescriptorBox? {
        if case .present(let kernelZero) = kernelZero { return kernelZero.device }
        return nil
    }
}
