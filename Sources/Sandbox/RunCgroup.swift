import Glibc
import System

/// The control group of one run: below it are those of its workers. It has no processes of its own.
///
/// Its folder is removed with its last owner, or once its workers' are gone; processes alive in it end with the tree.
public final class RunCgroup {
    /// The memory charged to the run: that of its workers, and segments that they touched first and that are still held.
    public let memory: CgroupMemory
    private let tree: CgroupTree
    /// Groups beside it in other hierarchies, which its workers are in as well.
    let others: [String]

    init(tree: CgroupTree, path: String, others: [String]) {
        self.tree = tree
        self.others = others
        memory = CgroupMemory(version: tree.version, path: path)
    }

    /// How often a process or thread could not be made, as the run had as many as it may have.
    public var refusedProcesses: Int {
        let folder = tree.version == .v2 ? [memory.path] : others
        return folder.reduce(0) {
            $0 + Int(clamping: CgroupMemory(version: tree.version, path: $1).figure("max", in: "/pids.events"))
        }
    }

    /// Makes the group of one worker. Nil when the machine does not let us, which costs the limit, not the run.
    ///
    /// - Parameter memoryBytesMax: the most that it may have, in RAM and on swap together.
    public func makeWorker(_ name: String, memoryBytesMax: UInt64?) -> WorkerCgroup? {
        tree.makeWorker("\(memory.path)/\(name)", memoryBytesMax: memoryBytesMax, run: self)
    }

    /// Changes the run's limit: RAM only, so that swap stays a way out; nil: no limit.
    ///
    /// - Returns: whether the limit holds.
    @discardableResult
    public func setMemoryMax(_ bytes: UInt64?) -> Bool { memory.limit(bytes) }

    deinit { for path in [memory.path] + others { tree.remove(path) } }
}
