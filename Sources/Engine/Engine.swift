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
    /// Seconds a zygote may take to import its packages.
    static let zygoteSecondsMax = 300.0
    /// While there are more zygotes than this, those that no run uses are ended.
    static let zygotesMax = 8

    let installation: Installation
    let options: EngineOptions
    let environment: [String: String]
    let store: SegmentStore
    let cgroups: CgroupTree?
    let identities: IdentityPool?
    let janitor: Janitor?
    let background: BackgroundWork
    /// Opens sources for scans.
    let fileBroker = FileBroker()
    /// The kernel module, opened once; `absent` also when the options turn it off.
    let kernelZero: KernelZero.Presence
    var zygotes: [ZygoteKey: ZygoteProcess] = [:]
    /// The saved results, which outlive the engine; nil when there is no folder for them.
    let saved: SavedResults?
    /// How many results are being saved.
    var savesLeft = 0
    /// What the engine has to say that belongs to no run.
    let notes = Notes()
    /// The most memory that is kept for later outputs, in bytes.
    let poolBytesMax: Int
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
    /// The interval in which memory is measured.
    var measuring = Interval(seconds: 0.25)

    /// An engine that has started nothing but its janitor.
    public init(installation: Installation, options: EngineOptions, environment: [String: String]) throws {
        self.installation = installation
        self.options = options
        self.environment = environment
        // Every table and segment that is alive holds descriptors.
        FileDescriptor.raiseLimit()
        // Workers that run as other users can't reopen the engine's files for writing; otherwise files are sealed.
        let hasIdentities = options.isSandboxed && IdentityPool.isAvailable
        identities = hasIdentities ? IdentityPool() : nil
        poolBytesMax = (Self.memoryBytesThere ?? 0) / 8
        store = SegmentStore(lock: hasIdentities ? .readOnlyDescriptor : .sealed, poolBytesMax: poolBytesMax)
        background = try BackgroundWork()
        saved = try options.cacheFolder.map { try SavedResults($0) }
        let spillFolder = try Self.spillFolder(options, environment)
        tables = TableRegistry(
            store, ways: spillFolder == nil ? options.eviction.ways.subtracting([.spill]) : options.eviction.ways)
        mover = TableMover(store, tables, background, spillFolder: spillFolder)
        resources = ResourceBridge(
            .init(
                memoryBytesMax: Self.memoryBytesMax(options).map { Int(clamping: $0) }, slots: options.slots,
                workerBytesMin: 16 << 20, spilledComesBack: store.lock == .sealed))
        forecast = MemoryForecast(History.path(environment).map { History($0) })
        kernelZero = options.hasKernelZero ? KernelZero.find() : .absent
        cgroups = CgroupTree.make()
        if let bytes = options.memoryBytesMax { cgroups?.setMemoryMax(bytes) }
        janitor = try cgroups.map { try Janitor.start(executable: installation.executable, cgroups: $0) }
        tables.users = self
        mover.delegate = self
        resources.user = self
    }

    /// Reads a project; no engine is needed for that.
    ///
    /// - Parameters:
    ///   - writtenFolders: folders that the run will write to.
    ///   - prepares: whether sources that are missing are made first, if the project says how.
    ///   - signals: an arriving signal ends it early, as `EngineError.interrupted`.
    public static func plan(
        installation: Installation, environment: [String: String], folder: String, parameters: [String],
        query: String? = nil, writtenFolders: [String] = [], prepares: Bool = false, isSandboxed: Bool = true,
        signals: SignalDescriptor? = nil, note: (String) -> Void = { _ in }
    ) throws -> Plan {
        try Planner(
            installation: installation, environment: environment, writtenFolders: writtenFolders,
            isSandboxed: isSandboxed, signals: signals
        ).plan(folder: folder, parameters: parameters, query: query, prepares: prepares, note: note)
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
        var saved: [String: DescriptorBox]?
        openSaved(for: plan, options) { saved = $0 }
        while saved == nil, !isStopped { waitAndHandle(beside: watches) }
        let begun = try begin(plan, options, observer: observer, saved: saved ?? [:], askedAt: askedAt)
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
        _ plan: Plan, _ options: RunOptions, observer: (any RunObserver)?, saved: [String: DescriptorBox],
        askedAt: UInt64
    ) throws -> Run {
        runCount += 1
        if runs.isEmpty { store.restartPeak() }
        let run = try Run(
            plan, options, engine: self, number: runCount, observer: observer, saved: saved, beganAt: askedAt)
        runs.append(run)
        tell(
            .runBegan(
                run.number, isBatch: options.isBatch, slots: min(options.slots ?? .max, self.options.slots),
                memoryBytesMax: options.memoryBytesMax.map { Int(clamping: $0) }))
        run.start()
        return run
    }

    /// Takes the report of a run that has an outcome; the engine then forgets the run.
    func end(_ run: Run) -> RunReport {
        runs.removeAll { $0 === run }
        tell(.runEnded(run.number))
        limitZygotes()
        forecast.save(by: background)
        return run.finish()
    }

    /// Ends the zygotes, and with them all that they started.
    public func shutDown() {
        for zygote in zygotes.values { zygote.zygote.kill() }
        for zygote in zygotes.values { zygote.zygote.wait() }
        zygotes = [:]
        fileBroker.stop()
        cgroups?.remove()
        janitor?.dismiss()
    }

    deinit { shutDown() }

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

    /// What a zygote of an environment reads: the interpreter's folders, and zerrow's own parts.
    private func readPaths(python: String) throws -> [String] {
        try installation.interpreterFolders(python)
            + [installation.pythonFolder, installation.workerLibrary, installation.arenaLibrary]
    }

    /// What workers of a plan see of its project.
    func workerView(of plan: Plan) -> WorkerView {
        // An interpreter that is missing is told of where it is started.
        let needed = plan.environments.flatMap { (try? readPaths(python: $0.python)) ?? [] }
        let written = [options.cacheFolder, options.spillFolder].compactMap { $0.flatMap { Path.resolved($0) } }
        return WorkerView(
            plan, staying: options.isSandboxed ? Zygote.places(showing: needed) : [], written: written,
            mountPoints: Machine.mountPoints())
    }

    /// The most bytes that a worker may have in /tmp, and in /dev/shm, which are memory: a quarter of the machine's each.
    private var tmpBytesMax: UInt64 { UInt64((Self.memoryBytesThere ?? (4 << 30)) / 4) }

    /// The name by which the loader finds the arena. The loader splits such names at spaces and colons and expands `$`: in a
    /// sandbox a link with a plain name stands for the library. Without a sandbox there is no place for a link: nil if the path
    /// can't be used.
    private var preloadedName: String? {
        if options.isSandboxed { return "/libzerrow_arena.so" }
        return installation.arenaLibrary.contains { " :$\t\n".contains($0) } ? nil : installation.arenaLibrary
    }

    /// The zygote with that key, started if there is none.
    func zygote(_ key: ZygoteKey) throws -> ZygoteProcess {
        if let zygote = zygotes[key] {
            zygote.usedAt = MonotonicClock.nanoseconds()
            return zygote
        }
        let (ours, theirs) = try MessageSocket.pair()
        let (reading, writing) = try DescriptorBox.pipe()
        var variables = [
            "ZERROW_WORKER_LIBRARY": installation.workerLibrary,
            "ZERROW_SANDBOX": options.isSandboxed ? "1" : "0",
            "ZERROW_PRELOAD_MODULES": key.modules.joined(separator: ","),
            "PYTHONPATH": installation.pythonFolder,
            // The order of a set of texts is the same in every process, so that results can be the same, too.
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": Path.parent(key.python) + ":/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
            "LANG": self.environment["LANG"] ?? "C.UTF-8",
            "ARROW_DEFAULT_MEMORY_POOL": self.environment["ARROW_DEFAULT_MEMORY_POOL"] ?? "system",
        ]
        if options.hasArena { variables["LD_PRELOAD"] = preloadedName }
        var spec = ZygoteSpec(
            arguments: [key.python, "-P", "-s", "-m", "zerrow.zygote"], environment: variables,
            readPaths: try readPaths(python: key.python) + [key.project], hasNetwork: key.hasNetwork,
            isSandboxed: options.isSandboxed, tmpBytesMax: tmpBytesMax)
        if let name = preloadedName { spec.links = [name: installation.arenaLibrary] }
        let zygote = try Zygote.spawn(
            spec, control: theirs.descriptor, output: writing.descriptor)
        let process = ZygoteProcess(
            key: key, zygote: zygote, channel: Channel(ours), output: try LineReader(reading),
            deadline: Deadline.after(seconds: Self.zygoteSecondsMax))
        zygotes[key] = process
        return process
    }
}
