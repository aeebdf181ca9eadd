import Sandbox
import Scheduler
import Store
import System

/// What the resource manager is told, and what it has done: who may run, and which tables go when memory is short.
extension Engine {
    /// The most memory that all runs together should take: what was asked for, else most of what there is.
    static func memoryBytesMax(_ options: EngineOptions) -> UInt64? {
        if let bytes = options.memoryBytesMax { return bytes }
        // The rest is the system's, and what can't be foreseen.
        return memoryBytesThere.map { UInt64($0) / 5 * 4 }
    }

    /// What the machine has, or a control group that this process is in may have of it, as in a container; in bytes. As it was when
    /// somebody first asked.
    static let memoryBytesThere: Int? = (try? Machine.memory()).map {
        min($0.bytesTotal, Int(clamping: CgroupPlace.memoryBytesMax() ?? .max))
    }

    /// Why limits of memory are not kept by the kernel, and what to do; nil when they are.
    public var memoryLimitProblem: String? {
        guard cgroups == nil else { return nil }
        let problem = CgroupPlace.problem()
        return "memory limits are not kept by the kernel: \(problem.reason); \(problem.remedy)"
    }

    /// Where tables are spilled to: what was asked for, or a usual place if that is on a disk.
    ///
    /// - Throws: when it was asked for and can't be used.
    static func spillFolder(_ options: EngineOptions, _ environment: [String: String]) throws -> SpillFolder? {
        if let path = options.spillFolder { return try SpillFolder(path) }
        for path in [environment["TMPDIR"] ?? "", "/var/tmp"] where !path.isEmpty {
            if let folder = try? SpillFolder(path) { return folder }
        }
        return nil
    }

    /// Tells the resource manager, and does what it says; what comes up meanwhile follows in order.
    func tell(_ event: ResourceManager.Event) {
        resourceEvents.append(event)
        handleEvents()
    }

    /// Handles the events of the runs and of the resource manager, and carries out what they lead to, until none is left.
    ///
    /// The runs come first: whatever else is done finds each scheduler as it is after all that has happened.
    func handleEvents() {
        guard !isHandlingEvents else { return }
        isHandlingEvents = true
        defer { isHandlingEvents = false }
        while true {
            if let run = runs.first(where: { !$0.events.isEmpty }) {
                run.handleNextEvent()
            } else if answerWaitingScan() {
                continue
            } else if !resourceActions.isEmpty {
                perform(resourceActions.removeFirst())
            } else if !resourceEvents.isEmpty {
                // All that belongs to one occurrence at once: between a table's end and its reader's there is nothing to decide.
                let facts = resourceEvents
                resourceEvents = []
                resourceActions = resources.handle(facts)
            } else {
                return
            }
        }
    }

    private func perform(_ action: ResourceManager.Action) {
        switch action {
        case .grant(let number, let model, let grant):
            guard let run = run(number), !run.scheduler.isFinished else {
                // It had asked before it ended, and listens no more.
                return tell(.givenBack(number, model: model))
            }
            guard mayBegin(model, of: run) else { return tell(.givenBack(number, model: model)) }
            run.feed(.granted(model: model, grant))
        case .refuse(let number, let model, let refusal):
            guard let run = run(number) else { return }
            if let key = run.sharedKey(of: model) { scans.withdraw(.init(number, model), key: key) }
            run.feed(.refused(model: model, reason: text(of: refusal)))
        case .evict(let key, let way): evict(key, way)
        case .shrinkPool(let bytesMax):
            // It may grow again when there is room.
            store.limitPool(bytesMax: bytesMax)
            store.limitPool(bytesMax: poolBytesMax)
            toldPoolBytes = store.pooledBytes
            tell(.pool(bytes: toldPoolBytes))
        }
    }

    private func text(of refusal: ResourceManager.Refusal) -> String {
        let whose = refusal.whose == .run ? "the run" : "the engine"
        var text = "its inputs take \(refusal.inputBytes >> 20) MiB"
        if refusal.fixedBytes > 0 { text += " and \(refusal.fixedBytes >> 20) MiB can't be evicted" }
        return text
            + ", \(whose) may have \(refusal.limitBytes >> 20) MiB: nothing is left to run it in; raise --memory"
    }

    func run(_ number: Int) -> Run? { runs.first { $0.number == number } }

    // MARK: What tables are to it

    /// Tells of all tables whose facts have changed, and of the pool.
    func tellHoldings() {
        guard holdingsAreStale else { return }
        holdingsAreStale = false
        let swapBytesFree = (try? Machine.memory())?.swapBytesFree ?? 0
        for holding in holdings.values where !holding.isMoving {
            let table = facts(of: holding, swapBytesFree: swapBytesFree)
            guard holding.told != table else { continue }
            holding.told = table
            tell(.tableHeld(holding.key, table))
        }
        tellPool()
    }

    /// Tells how much memory is kept for later outputs, if that has changed.
    func tellPool() {
        guard store.pooledBytes != toldPoolBytes else { return }
        toldPoolBytes = store.pooledBytes
        tell(.pool(bytes: toldPoolBytes))
    }

    private func facts(of holding: TableHolding, swapBytesFree: Int) -> ResourceManager.TableFacts {
        let models = holding.models.compactMap { holder in run(holder.run).map { ($0, holder.model) } }
        let residentBytes = store.chargedBytes(of: holding.table, inMemory: true)
        // What can be lent from the disk takes up no memory again.
        let bytes =
            store.lock == .readOnlyDescriptor
            ? residentBytes : store.chargedBytes(of: holding.table, inMemory: false)
        let ways = residentBytes == 0 ? [] : ways(for: holding, models, residentBytes, swapBytesFree)
        return ResourceManager.TableFacts(
            bytes: bytes, residentBytes: holding.isSwapped ? nil : residentBytes,
            recomputeSeconds: ways.contains(.drop) ? seconds(toMake: holding, models) : nil, ways: ways,
            nextUse: models.compactMap { $0.grantsUntilRead(of: $1) }.min(), owner: models.first?.0.number,
            maker: holding.maker)
    }

    /// How it may be evicted, as far as that can be said before somebody tries.
    private func ways(
        for holding: TableHolding, _ models: [(Run, Int)], _ bytes: Int, _ swapBytesFree: Int
    ) -> Set<ResourceManager.Way> {
        // A worker may be reading it, or is going to. When it is only being saved, it can go a little later.
        guard holding.isSaving || !store.isRead(holding.table), !holding.isPromised else { return [] }
        var ways = options.eviction.ways
        // What another table names as well stays when this one is dropped.
        if store.exclusiveBytes(of: holding.table) < bytes / 10 * 9 || !models.allSatisfy({ $0.scheduler.canDrop($1) })
        {
            ways.remove(.drop)
        }
        if bytes < Self.movedBytesMin || spillFolder == nil { ways.remove(.spill) }
        if bytes < Self.movedBytesMin || holding.isSwapped || swapBytesFree < bytes { ways.subtract([.swap, .limit]) }
        if holding.cgroup == nil { ways.remove(.limit) }
        return ways
    }

    /// How long it would take to have the table again, if it were dropped: what else is gone and it needs has to be made first.
    private func seconds(toMake holding: TableHolding, _ models: [(Run, Int)]) -> Double {
        models.reduce(models.isEmpty ? holding.seconds : 0) { seconds, holder in
            let (run, model) = holder
            return max(seconds, (run.scheduler.rerun(of: model) ?? []).reduce(0) { $0 + run.seconds(toRun: $1) })
        }
    }
}
