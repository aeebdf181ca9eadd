import Glibc
import Synchronization
import System

/// The engine's control groups: one folder, below it one group per run, and below these one per worker, each with a limit of its own.
/// Memory charged to a group counts in the groups above it too.
///
/// Version 2 where it has the memory controller, version 1 where that is what is mounted. Sources: the kernel's
/// admin-guide/cgroup-v2 and cgroup-v1/memory.
public final class CgroupTree {
    /// The version of the files' interface.
    public enum Version: Sendable { case v1, v2 }

    /// The version of the interface.
    public let version: Version
    /// The engine's folder.
    public let folder: String
    /// What is bounded beside memory.
    private let shares: CgroupShares
    /// Groups that could not be removed yet: the kernel lets go of a dead process a little later than of its parent.
    private var leftovers: [String] = []
    /// Does what the kernel may take long for on another thread, and then calls the second one on this; at once where nobody has set it.
    public var elsewhere: (_ work: @escaping @Sendable () -> Void, _ then: @escaping () -> Void) -> Void = {
        work, then in
        work()
        then()
    }
    /// The least limit of the groups that workers leave for these, in bytes; nil for none.
    private var bytesMaxLeft: UInt64?

    private init(version: Version, folder: String) {
        self.version = version
        self.folder = folder
        if version == .v2 {
            _ = try? Files.write(folder + "/cgroup.subtree_control", "+memory")
            CgroupShares.giveAll(below: folder)
        }
        shares = CgroupShares(version: version, folder: folder)
    }

    /// Whether each run has its share of processor time, whatever others do.
    public var sharesProcessor: Bool { shares.folders[.cpu] != nil }
    /// Whether the groups bound how many processes a run has.
    public var boundsProcesses: Bool { shares.folders[.pids] != nil }
    /// The engine's folders: the first one is that of `folder`, the others are beside it in other hierarchies.
    public var folders: [String] { [folder] + shares.others }

    /// The engine's groups; nil where none can be had.
    ///
    /// Groups of engines that are dead are removed on the way. Limits of the groups that workers leave still hold: a service's
    /// `MemoryMax=`, for one.
    public static func make() -> CgroupTree? {
        CgroupPlace.companions().forEach(sweep)
        for place in CgroupPlace.all() {
            sweep(place)
            let folder = "\(place.parent)/\(name(of: getpid()) ?? "zerrow-\(getpid())-0")"
            guard place.make(folder) else { continue }
            let tree = CgroupTree(version: place.version, folder: folder)
            if tree.works(), tree.keepLimits(of: place.left) { return tree }
            tree.remove()
        }
        return nil
    }

    /// The memory charged to all runs together.
    public var memory: CgroupMemory { CgroupMemory(version: version, path: folder) }

    /// Limits all runs together: RAM only, so that swap stays a way out; nil: no limit.
    ///
    /// - Returns: whether the limit holds.
    @discardableResult
    public func setMemoryMax(_ bytes: UInt64?) -> Bool { memory.limit([bytes, bytesMaxLeft].compactMap(\.self).min()) }

    /// Makes the group of one run. Nil when the machine does not let us, which costs the limit, not the run.
    ///
    /// - Parameter memoryBytesMax: the most RAM of all its workers together; swap stays a way out.
    public func makeRun(_ name: String, memoryBytesMax: UInt64?) -> RunCgroup? {
        collect()
        let path = "\(folder)/\(name)"
        guard (try? Files.makeDirectory(path, mode: 0o755)) != nil else { return nil }
        let run = RunCgroup(tree: self, path: path, others: shares.makeRun(path))
        if version == .v2 { run.memory.write("/cgroup.subtree_control", "+memory") }
        if let memoryBytesMax, !run.setMemoryMax(memoryBytesMax) { return nil }
        return run
    }

    /// Makes the group of one worker that belongs to no run. Nil when the machine does not let us, which costs the limit, not the run.
    public func make(_ name: String, memoryBytesMax: UInt64?) -> WorkerCgroup? {
        makeWorker("\(folder)/\(name)", memoryBytesMax: memoryBytesMax, run: nil)
    }

    func makeWorker(_ path: String, memoryBytesMax: UInt64?, run: RunCgroup?) -> WorkerCgroup? {
        collect()
        guard (try? Files.makeDirectory(path, mode: 0o755)) != nil else { return nil }
        let group = WorkerCgroup(tree: self, path: path, run: run)
        shares.bound(worker: path)
        if let memoryBytesMax, !group.setMemoryMax(memoryBytesMax) { return nil }
        return group
    }

    /// Removes a group now, or when that is possible.
    func remove(_ path: String) {
        remove([path])
    }

    /// Removes all groups, and kills the processes in them.
    public func remove() { Self.remove(trees: folders, version: version) }

    /// Removes the leftovers that can be removed by now; groups below others come first.
    private func collect() {
        if leftovers.isEmpty { return }
        let paths = leftovers.sorted { $0.utf8.count > $1.utf8.count }
        leftovers = []
        remove(paths)
    }

    private func remove(_ paths: [String]) {
        let removal = Removal(paths)
        elsewhere({ removal.run() }) { [weak self] in self?.leftovers += removal.left }
    }

    private func works() -> Bool {
        guard let probe = make("probe", memoryBytesMax: 1 << 30) else { return false }
        probe.remove()
        return true
    }

    /// Gives the tree the limits of the groups that workers leave: in other groups than this process, they are as limited.
    private func keepLimits(of groups: [String]) -> Bool {
        let left = groups.map { CgroupMemory(version: version, path: $0) }
        for file in ["/memory.high", "/memory.swap.max"] {
            let least = left.compactMap { $0.limit(in: file) }.min()
            if let least, !memory.write(file, "\(least)") { return false }
        }
        bytesMaxLeft = left.compactMap(\.limitBytes).min()
        return setMemoryMax(nil)
    }

    // MARK: Groups of dead engines

    /// `zerrow-<pid>-<start time>`: names one process for as long as the machine runs.
    static func name(of pid: pid_t) -> String? {
        guard let bytes = try? Files.read("/proc/\(pid)/stat", bytesMax: 4096) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? "zerrow-\(pid)-\(fields[19])" : nil
    }

    static func sweep(_ place: CgroupPlace) {
        for entry in (try? Files.list(place.parent)) ?? [] where entry.hasPrefix("zerrow-") {
            let parts = entry.split(separator: "-")
            guard parts.count == 3, let pid = pid_t(parts[1]), name(of: pid) != entry else { continue }
            remove(tree: "\(place.parent)/\(entry)", version: place.version)
        }
    }

    /// Kills what is in trees of groups and removes them: whatever one could not be killed through, another one can.
    static func remove(trees folders: [String], version: Version) {
        for folder in folders { remove(tree: folder, version: version) }
    }

    /// Kills what is in a tree of groups and removes it; waits, at most some seconds, for the dead to be gone.
    static func remove(tree folder: String, version: Version) {
        for _ in 0..<500 {
            for group in groups(in: folder) {
                kill(group, version)
                _ = try? Files.removeDirectory(group)
            }
            guard Files.exists(folder) else { return CgroupPlace.restore(Path.parent(folder)) }
            usleep(10_000)
        }
    }

    /// A group and all below it, those below others first.
    private static func groups(in folder: String) -> [String] {
        folders(in: folder).flatMap(groups) + [folder]
    }

    /// The groups right below a group.
    static func folders(in folder: String) -> [String] {
        ((try? Files.list(folder)) ?? []).map { "\(folder)/\($0)" }.filter(Files.isFolder)
    }

    static func kill(_ group: String, _ version: Version) {
        if version == .v2, (try? Files.write(group + "/cgroup.kill", "1")) != nil { return }
        for line in lines(group + "/cgroup.procs") { pid_t(line).map { _ = Glibc.kill($0, SIGKILL) } }
    }

    // MARK: Text

    static func lines(_ path: String) -> [Substring] {
        guard let bytes = try? Files.read(path, bytesMax: 4 << 20) else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }
}

/// Groups on the way to being removed.
private final class Removal: Sendable {
    private let paths: [String]
    private let result = Mutex<[String]>([])

    init(_ paths: [String]) { self.paths = paths }

    /// Those that could not be removed and are there.
    var left: [String] { result.withLock { $0 } }

    func run() {
        HoldPoint.cgroup.pass()
        let left = paths.filter { (try? Files.removeDirectory($0)) == nil && Files.exists($0) }
        result.withLock { $0 = left }
    }
}
