import Glibc
import System

/// The control group of one worker and of all that it starts.
///
/// It may outlive its worker: the pages of the worker's output stay charged to it, and can be moved out of RAM through it for as long as
/// it is there. Its folder goes with `remove`, or with the last owner.
public final class WorkerCgroup {
    /// The memory charged to the worker: that of its processes, and pages that they touched first.
    public let memory: CgroupMemory
    private let tree: CgroupTree
    /// The run's group, kept alive because this folder lies in its.
    private let run: RunCgroup?
    private var isRemoved = false

    init(tree: CgroupTree, path: String, run: RunCgroup?) {
        self.tree = tree
        self.run = run
        memory = CgroupMemory(version: tree.version, path: path)
    }

    deinit { remove() }

    /// Changes the worker's limit, RAM and swap together; nil: no limit.
    ///
    /// - Returns: whether the limit holds.
    @discardableResult
    public func setMemoryMax(_ bytes: UInt64?) -> Bool {
        guard memory.limitWithSwap(bytes) else { return false }
        // A worker whose helper process was killed would wait for it, or compute on with less than it asked for.
        if tree.version == .v2 { memory.write("/memory.oom.group", bytes == nil ? "0" : "1") }
        return true
    }

    /// Puts a process into the group; what it starts from then on is in it too.
    public func add(_ pid: pid_t) throws(SystemError) { try entry(pid) }

    /// Puts a process into the group as `add` does, from any thread. The kernel waits for all processors meanwhile, once where there are
    /// groups in several hierarchies.
    public var entry: @Sendable (pid_t) throws(SystemError) -> Void {
        let files = ([memory.path] + (run?.others ?? [])).map { $0 + "/cgroup.procs" }
        return { (pid) throws(SystemError) in
            for file in files { try Files.write(file, "\(pid)", create: false) }
        }
    }

    /// Kills all processes in it.
    public func kill() { CgroupTree.kill(memory.path, tree.version) }

    /// How many processes of the group the kernel killed because a limit was reached: its own, or that of a group above it.
    public var outOfMemoryKills: Int { memory.outOfMemoryKills }

    /// The most memory it ever held, in bytes; 0 where the kernel does not say.
    public var memoryBytesMax: UInt64 { memory.bytesPeak }

    /// The memory that its processes hold now and nobody else can, in bytes: no files, no shared memory. 0 where the kernel does
    /// not say.
    public var anonymousBytes: UInt64 { memory.figures().anonymousBytes }

    /// Lets memory charged to it go to swap: its worker is dead, so that swap is no way round its limit any more.
    public func allowSwap() { memory.allowSwap() }

    /// Moves memory charged to it out of RAM until no more than so many bytes are left: the segment of a worker that is dead goes
    /// to swap. It waits for the disk: `memory` does the same on any thread.
    ///
    /// - Returns: the bytes that have left RAM, measured; 0 where there is no swap.
    @discardableResult
    public func dropLimit(to bytes: UInt64) -> UInt64 {
        let now = memory.bytes
        return now > bytes ? memory.reclaim(now - bytes) : 0
    }

    /// Gives the group up; its processes are dead. Memory still charged to it counts on in the groups above it.
    public func remove() {
        if isRemoved { return }
        isRemoved = true
        tree.remove(memory.path)
    }
}
