import Glibc
import System

/// A swap file for one test, gone with the test or with the process, whatever ends it.
final class SwapFile {
    private static func run(_ arguments: [String]) -> Bool {
        guard
            let child = try? ChildProcess(
                arguments, environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], folder: "/", output: .null,
                errors: .null),
            let exit = try? child.wait()
        else { return false }
        return exit == .exited(0)
    }

    /// Whether this machine lets us have one.
    static let isPossible: Bool = geteuid() == 0 && (try? SwapFile(bytes: 8 << 20)) != nil

    struct Refused: Error {}

    private let guardian: ChildProcess
    private var pipe: DescriptorBox?

    init(bytes: Int) throws {
        let path = Path.parent(CommandLine.arguments[0]) + "/swap-\(getpid())-\(MonotonicClock.nanoseconds())"
        // Swap has no holes.
        let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_EXCL)
        let (reading, writing) = try DescriptorBox.pipe()
        let script = "trap '' INT TERM HUP; read x <&3; swapoff \(path); rm -f \(path)"
        guardian = try ChildProcess(
            ["sh", "-c", script], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"], folder: "/", output: .null,
            errors: .null, inherited: [reading.raw])
        pipe = writing
        try file.allocate(bytes: bytes)
        guard Self.run(["mkswap", path]), Self.run(["swapon", path]) else { throw Refused() }
    }

    deinit {
        pipe = nil
        _ = try? guardian.wait()
    }
}
