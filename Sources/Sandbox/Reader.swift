import CLinux
import Glibc
import System

/// The description of a reader: a program that reads strangers' files, and the paths and the memory that it may use.
public struct ReaderSpec: Sendable {
    /// The program, absolute, and its arguments.
    public var arguments: [String]
    /// Its environment variables, all of them.
    public var environment: [String: String]
    /// Files and folders that it may read beside the system's.
    public var readPaths: [String]
    /// Whether it has namespaces and a root of its own. Without them Landlock bounds what it opens, where the kernel has that.
    public var isSandboxed: Bool
    /// The most memory that it may take, in bytes.
    public var memoryBytesMax: UInt64
    /// The longest file that it may write, in bytes.
    public var outputBytesMax: UInt64

    /// A reader.
    public init(
        arguments: [String], environment: [String: String], readPaths: [String], isSandboxed: Bool,
        memoryBytesMax: UInt64, outputBytesMax: UInt64
    ) {
        precondition(arguments.first?.hasPrefix("/") == true, "a reader's program has an absolute path")
        self.arguments = arguments
        self.environment = environment
        self.readPaths = readPaths
        self.isSandboxed = isSandboxed
        self.memoryBytesMax = memoryBytesMax
        self.outputBytesMax = outputBytesMax
    }
}

extension ReaderSpec {
    /// What the root of a reader shows: paths, and what those lead to that are symbolic links. Throws `SandboxError`.
    public func root() throws(SandboxError) -> [(path: String, link: String?)] {
        try PrivateRoot(showing: readPaths + arguments.prefix(1)).entries.map { ($0.path, $0.link) }
    }
}

/// A process without any privilege that reads files and reports what it found.
///
/// It stays its caller's user, whose files it may read, but has no network, writes nothing but its output, and dies with the
/// thread that spawned it, and all that it started with it.
public final class Reader {
    /// The size of its /tmp, in bytes.
    public static let tmpBytesMax: UInt64 = 16 << 20

    private let pid: pid_t
    private let pidfd: ProcessDescriptor
    private var ending: ChildProcess.Ending?

    /// Polls readable once it has ended.
    public var raw: Int32 { pidfd.raw }

    /// Starts a reader and waits until it runs its program. `control` becomes its descriptor 3, `output` 1 and `errors` 2; all
    /// stay the caller's. Throws `SandboxError`.
    public init(
        _ spec: ReaderSpec, control: borrowing FileDescriptor, output: borrowing FileDescriptor,
        errors: borrowing FileDescriptor
    ) throws(SandboxError) {
        let root = try PrivateRoot(showing: spec.readPaths + spec.arguments.prefix(1))
        var c = zerrow_zygote_spec()
        c.control = control.raw
        c.output = output.raw
        c.errors = errors.raw
        // The reader is its caller's user: files that nobody else may read can be planned, and no range of users is needed.
        c.id_first = geteuid()
        c.group_first = getegid()
        c.id_count = 1
        c.tmp_bytes_max = Self.tmpBytesMax
        let shown = CStringList(root.entries.filter { $0.link == nil }.map(\.path))
        var reader = zerrow_reader(
            is_isolated: spec.isSandboxed ? 1 : 0, memory_bytes_max: spec.memoryBytesMax,
            output_bytes_max: spec.outputBytesMax, read_paths: shown.constant)
        (pid, pidfd) = try withUnsafePointer(to: &reader) { (reader) throws(SandboxError) in
            c.reader = reader
            return try withExtendedLifetime(shown) { () throws(SandboxError) in
                try root.spawn(spec.arguments, spec.environment, c)
            }
        }
    }

    /// Kills it and all that it started; nothing happens when it has ended.
    public func kill() {
        guard ending == nil else { return }
        try? pidfd.send(signal: SIGKILL)
        // Without a pid namespace its children are in its group, which they can't leave.
        Glibc.kill(-pid, SIGKILL)
    }

    /// Waits until it has ended, and reaps it.
    public func wait() -> ChildProcess.Ending {
        if let ending { return ending }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        let ended: ChildProcess.Ending =
            status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signalled(status & 0x7f)
        ending = ended
        return ended
    }

    /// Kills it, and leaves waiting for its end to what is returned: the kernel takes about 10 ms to take apart what a Python process has. It does
    /// nothing more in that time.
    public func killed() -> KilledReader? {
        guard ending == nil else { return nil }
        kill()
        ending = .signalled(SIGKILL)
        return KilledReader(pid)
    }

    deinit {
        kill()
        _ = wait()
    }
}

/// A reader that has been killed and not been reaped. It is when nobody holds this any more.
public final class KilledReader: Sendable {
    private let pid: pid_t

    fileprivate init(_ pid: pid_t) { self.pid = pid }

    deinit { while waitpid(pid, nil, 0) < 0 && errno == EINTR {} }
}
