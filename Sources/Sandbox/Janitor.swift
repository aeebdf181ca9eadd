import Glibc
import System

/// A tiny process that outlives an engine which is killed, and removes what the kernel does not: its control groups.
///
/// Everything else of an engine goes by itself: zygotes die with the thread that spawned them, their workers with them, and files without
/// names and namespaces with their last user.
public final class Janitor {
    private let child: ChildProcess
    /// Nothing is ever written to it; it ends when the engine ends.
    private var pipe: DescriptorBox?

    private init(child: ChildProcess, pipe: DescriptorBox) {
        self.child = child
        self.pipe = pipe
    }

    /// Starts `executable janitor …`, which calls `serve`.
    public static func start(executable: String, cgroups: CgroupTree) throws -> Janitor {
        let (reading, writing) = try DescriptorBox.pipe()
        let child = try ChildProcess(
            [executable, "janitor", cgroups.version == .v1 ? "v1" : "v2"] + cgroups.folders, environment: [:],
            folder: "/",
            output: .null, errors: .null, inherited: [reading.raw])
        return Janitor(child: child, pipe: writing)
    }

    /// Ends the janitor: the engine has cleaned up itself.
    public func dismiss() {
        guard pipe != nil else { return }
        pipe = nil
        _ = try? child.wait()
    }

    deinit { dismiss() }

    /// The janitor's life: waits for the end of descriptor 3, then cleans up. It does not hear a Ctrl-C meant for the engine.
    public static func serve(version: CgroupTree.Version, folders: [String]) {
        _ = setsid()
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { signal(number, SIG_IGN) }
        var byte: UInt8 = 0
        while true {
            let count = read(3, &byte, 1)
            if count == 0 || count < 0 && errno != EINTR { break }
        }
        guard folders.allSatisfy({ $0.contains("/zerrow-") }) else { return }
        CgroupTree.remove(trees: folders, version: version)
    }
}
