import CLinux
import Glibc

extension SystemCall {
    /// Starting a program.
    public static let spawn: SystemCall = "posix_spawn"
    /// Waiting for a child to end.
    public static let waitForChild: SystemCall = "waitpid"
}

/// An ordinary helper program (the planner, a project's prepare command), run to its end.
///
/// Not for workers: these are forked by a zygote inside the sandbox.
public struct ChildProcess {
    /// Where a standard stream of the program goes.
    public enum Stream: Sendable {
        /// `/dev/null`.
        case null
        /// A descriptor of this process, borrowed for the time of the spawn.
        case descriptor(Int32)
    }

    /// How a program ended.
    public enum Ending: Equatable, Sendable {
        /// It returned or called exit.
        case exited(Int32)
        /// A signal ended it.
        case signalled(Int32)
    }

    /// Its process id; not reaped until `wait` returns.
    public let pid: pid_t

    /// Starts a program found on the PATH, in `folder`, with its environment set to `environment`; nil: this process's.
    ///
    /// Descriptors other than the three standard streams are closed in the child by their close-on-exec flag, which every
    /// descriptor of this process has; those that are `inherited` become its descriptors 3, 4 and so on. `defaultSignals` are those
    /// that this process ignores and the program does not. With a group of its own it gets no signal of a terminal's. Source: posix_spawn(3).
    public init(
        _ arguments: [String], environment: [String: String]?, folder: String, output: Stream, errors: Stream,
        inherited: [Int32] = [], defaultSignals: [Int32] = [], hasOwnGroup: Bool = false
    ) throws(SystemError) {
        precondition(!arguments.isEmpty, "a program has a name")
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        for (number, stream) in [(Int32(1), output), (2, errors)] {
            switch stream {
            case .null: posix_spawn_file_actions_addopen(&actions, number, "/dev/null", O_WRONLY, 0)
            case .descriptor(let raw): posix_spawn_file_actions_adddup2(&actions, raw, number)
            }
        }
        // Copies have numbers above those that they get there: none is overwritten before it is its turn.
        var copies: [DescriptorBox] = []
        for raw in inherited {
            copies.append(DescriptorBox(try .duplicate(of: raw, numberMin: 3 + Int32(inherited.count))))
        }
        for (number, copy) in copies.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, copy.raw, 3 + Int32(number))
        }
        _ = zerrow_spawn_in(&actions, folder)

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The engine blocks the signals it reads from a descriptor; a program it starts expects them open.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var defaults = sigset_t()
        sigemptyset(&defaults)
        for number in defaultSignals { sigaddset(&defaults, number) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        let group = hasOwnGroup ? POSIX_SPAWN_SETPGROUP : 0
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | group))

        // A copy is needed until the program has started.
        defer { withExtendedLifetime(copies) {} }
        let argv = CStringList(arguments)
        let envp = environment.map { CStringList($0.map { "\($0.key)=\($0.value)" }) }
        var child: pid_t = 0
        let code = posix_spawnp(&child, arguments[0], &actions, &attributes, argv.pointers, envp?.pointers ?? environ)
        guard code == 0 else {
            throw SystemError(.spawn, errno: code, context: arguments[0])
        }
        pid = child
    }

    /// Waits until it has ended, and reaps it.
    public func wait() throws(SystemError) -> Ending {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 {
            guard errno == EINTR else { throw SystemError(.waitForChild, errno: errno, context: "process \(pid)") }
        }
        return status & 0x7f == 0 ? .exited((status >> 8) & 0xff) : .signalled(status & 0x7f)
    }

    /// Sends it a signal; nothing happens when it has ended.
    public func signal(_ number: Int32) { kill(pid, number) }
}

/// A NULL-terminated list of C strings, as exec wants it; frees them.
public final class CStringList {
    /// The strings, valid as long as the list lives.
    public let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    /// The same strings, for a function that promises not to change them.
    public var constant: UnsafePointer<UnsafePointer<CChar>?> {
        UnsafeRawPointer(pointers).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
    }

    /// Copies the strings.
    public init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { pointers[index] = strdup(string) }
        pointers[count] = nil
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}
