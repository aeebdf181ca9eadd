import Glibc

/// A place in work that may take long, at which a test can hold the thread that does it, as a disk that does not answer would.
///
/// `ZERROW_HOLD` names a folder of the test's. The first thread that comes to a point of which the folder has a file (`export`) gives it
/// the name `export.held`, and goes on when that is gone. Without the variable, a point costs one look at a constant.
public enum HoldPoint: String, CaseIterable, Sendable {
    /// A final table is being written to the folder of exports.
    case export
    /// A result is being written to the folder of saved results.
    case save
    /// A saved result is being looked for, or checked.
    case saved
    /// A table is being written to a disk.
    case spill
    /// A table is being read back, or what is live of a segment is being copied.
    case gather
    /// What a worker published is being read and checked.
    case descriptor
    /// What a worker's table does not name is being zeroed and freed.
    case trim
    /// Memory is being zeroed for a later output.
    case clean
    /// Memory that nobody names any more is being freed.
    case free
    /// What models needed is being read, or written.
    case history
    /// What is remembered of a job is being written.
    case job
    /// An environment is all there, and has not got its name.
    case environment
    /// A zygote is being started.
    case spawn
    /// The tables of a run are about to be published: their files are on the disk, and have no names.
    case commit
    /// The new state of a catalog is on the disk, and not its state yet. The catalog is locked.
    case committing
    /// A control group is being removed, or a process put into it.
    case cgroup

    /// Where the test's files are; nil outside of tests.
    private static let folder = getenv("ZERROW_HOLD").map { String(cString: $0) }

    /// How often a held thread looks whether it may go on, in microseconds.
    private static let pauseMicroseconds: UInt32 = 5000

    /// Whether a test wants the next thread that comes here to wait.
    public var isWanted: Bool { Self.folder.map { access("\($0)/\(rawValue)", F_OK) == 0 } ?? false }

    /// Waits here if a test wants it.
    public func pass() { if let folder = Self.folder { wait(in: folder) } }

    func wait(in folder: String) {
        let file = "\(folder)/\(rawValue)"
        // One of several threads gets the file.
        guard rename(file, file + ".held") == 0 else { return }
        while access(file + ".held", F_OK) == 0 { usleep(Self.pauseMicroseconds) }
    }
}
