import CLinux
import Glibc
import System

/// The description of a zygote: its program, and what it and its workers may see.
public struct ZygoteSpec: Sendable {
    /// The program, absolute, and its arguments.
    public var arguments: [String]
    /// Its environment variables, all of them.
    public var environment: [String: String]
    /// Files and folders that it may read beside the system's.
    public var readPaths: [String]
    /// Symbolic links that it sees in its root and the host does not have, by what they lead to.
    public var links: [String: String] = [:]
    /// Whether it has the host's network.
    public var hasNetwork: Bool
    /// Whether it is isolated at all.
    public var isSandboxed: Bool
    /// The size of a worker's /tmp and of its /dev/shm, in bytes.
    public var tmpBytesMax: UInt64

    /// A zygote.
    public init(
        arguments: [String], environment: [String: String], readPaths: [String], hasNetwork: Bool, isSandboxed: Bool,
        tmpBytesMax: UInt64
    ) {
        precondition(arguments.first?.hasPrefix("/") == true, "a zygote's program has an absolute path")
        self.arguments = arguments
        self.environment = environment
        self.readPaths = readPaths
        self.hasNetwork = hasNetwork
        self.isSandboxed = isSandboxed
        self.tmpBytesMax = tmpBytesMax
    }
}

/// A warm process that forks workers; the first one of its pid namespace, so that its end is the end of all of them.
///
/// It dies with the thread that spawned it. Not reaped before `wait`.
public final class Zygote {
    /// Its process id, the engine's to wait for.
    public let pid: pid_t
    /// The paths that it shows below /tmp, of which each worker has a new one.
    public let shownBelowTmp: [String]
    /// Polls readable when it and everything in its pid namespace are gone.
    public let descriptor: ProcessDescriptor
    private var isReaped = false

    private init(pid: pid_t, pidfd: ProcessDescriptor, shownBelowTmp: [String] = []) {
        self.pid = pid
        self.descriptor = pidfd
        self.shownBelowTmp = shownBelowTmp
    }

    /// Every place that a sandbox shows if it shows these paths, the system's included; none if it can't be made.
    public static func places(showing paths: [String]) -> [String] {
        (try? PrivateRoot(showing: paths))?.places ?? []
    }

    /// Those of the paths that lie below /tmp, of which each worker has a new one.
    public static func placesBelowTmp(showing paths: [String]) throws(SandboxError) -> [String] {
        try PrivateRoot(showing: paths).belowTmp
    }

    /// Starts a zygote and waits until it runs its program. `control` becomes its descriptor 3, `output` 1 and 2; both stay
    /// the caller's.
    ///
    /// - Throws: `SandboxError`, or `SystemError` without a sandbox.
    public static func spawn(
        _ spec: ZygoteSpec, control: borrowing FileDescriptor, output: borrowing FileDescriptor
    ) throws -> Zygote {
        guard spec.isSandboxed else {
            let child = try ChildProcess(
                spec.arguments, environment: spec.environment, folder: "/", output: .descriptor(output.raw),
                errors: .descriptor(output.raw), inherited: [control.raw])
            return Zygote(pid: child.pid, pidfd: try ProcessDescriptor(process: child.pid))
        }
        let root = try PrivateRoot(showing: spec.readPaths + spec.arguments.prefix(1), links: spec.links)
        var environment = spec.environment
        environment["ZERROW_NETWORK"] = spec.hasNetwork ? "1" : "0"
        environment["ZERROW_TMP_BYTES_MAX"] = "\(spec.tmpBytesMax)"
        let map = UserMap.available
        var c = zerrow_zygote_spec()
        c.control = control.raw
        c.output = output.raw
        c.errors = output.raw
        c.id_first = map.userFirst
        c.group_first = map.groupFirst
        c.id_count = map.count
        c.has_network = spec.hasNetwork ? 1 : 0
        c.tmp_bytes_max = spec.tmpBytesMax
        let (pid, pidfd) = try root.spawn(spec.arguments, environment, c)
        return Zygote(pid: pid, pidfd: pidfd, shownBelowTmp: root.belowTmp)
    }

    /// The memory that a worker has when it is forked, in bytes: the zygote's pages that belong to no file. 0 when it is gone.
    public var anonymousBytes: UInt64 {
        guard let bytes = try? Files.read("/proc/\(pid)/statm", bytesMax: 256) else { return 0 }
        let pages = String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap { UInt64($0) }
        guard pages.count > 2, pages[1] > pages[2] else { return 0 }
        return (pages[1] - pages[2]) * UInt64(Machine.pageBytes)
    }

    /// Kills it and, with it, all its workers and all that these started.
    public func kill() { try? descriptor.send(signal: SIGKILL) }

    /// Reaps it if it is gone; it does not wait.
    public func reap() {
        if !isReaped, waitpid(pid, nil, WNOHANG) == pid { isReaped = true }
    }

    /// Waits until it and everything in its pid namespace are gone, and reaps it.
    public func wait() {
        guard !isReaped else { return }
        while waitpid(pid, nil, 0) < 0 && errno == EINTR {}
        isReaped = true
    }

    deinit {
        kill()
        wait()
    }
}

extension PrivateRoot {
    /// Starts a program that sees this and nothing else; `spec` says the rest. It is the caller's to reap.
    func spawn(
        _ arguments: [String], _ environment: [String: String], _ spec: zerrow_zygote_spec
    ) throws(SandboxError) -> (pid_t, ProcessDescriptor) {
        let words = CStringList(arguments)
        let variables = CStringList(environment.map { "\($0.key)=\($0.value)" })
        let paths = CStringList(entries.map(\.path))
        let links = CStringList(entries.map { $0.link ?? "" })
        let list = entries.indices.map { index in
            zerrow_zygote_entry(
                path: paths.pointers[index],
                link: entries[index].link == nil ? nil : UnsafePointer(links.pointers[index]))
        }
        var pid: pid_t = -1
        var pidfd: Int32 = -1
        var failure = zerrow_zygote_failure()
        let code = list.withUnsafeBufferPointer { list in
            withExtendedLifetime((words, variables, paths, links)) {
                var c = spec
                c.arguments = words.constant
                c.environment = variables.constant
                c.entries = list.baseAddress
                c.entry_count = list.count
                return zerrow_zygote_spawn(&c, &pid, &pidfd, &failure)
            }
        }
        guard code == 0 else { throw SandboxError(failure, entries) }
        return (pid, ProcessDescriptor(FileDescriptor(owning: pidfd)))
    }
}
