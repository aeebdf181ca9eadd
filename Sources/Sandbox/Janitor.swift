import Glibc
import System

/// A tiny process that outlives an engine which is killed, and removes what the kernel does not: its control groups, and
/// its folder for what workers write to a disk.
///
/// Everything else of an engine goes by itself: zygotes die with the thread that spawned them, their workers with them, and files without
/// names and namespaces with their last user.
public final class Janitor {
    private let child: ChildProcess
    /// Paths to remove are written to it, each closed by a zero byte; it ends when the engine ends.
    private var pipe: DescriptorBox?

    private init(child: ChildProcess, pipe: DescriptorBox) {
        self.child = child
        self.pipe = pipe
    }

    /// Starts `executable janitor …`, which calls `serve`.
    public static func start(executable: String, cgroups: CgroupTree?) throws -> Janitor {
        let (reading, writing) = try DescriptorBox.pipe()
        let child = try ChildProcess(
            [executable, "janitor", cgroups?.version == .v1 ? "v1" : "v2"] + (cgroups?.folders ?? []),
            environment: [:], folder: "/",
            output: .null, errors: .null, inherited: [reading.raw])
        return Janitor(child: child, pipe: writing)
    }

    /// Has it remove a folder of `ScratchPlace`'s, too.
    public func remember(scratch path: String) {
        guard let pipe else { return }
        // A path is shorter than what a pipe takes at once; where nobody reads, the next engine removes the folder.
        try? Array(path.utf8 + [0]).withUnsafeBufferPointer { (bytes) throws(SystemError) in
            try pipe.descriptor.writeAll(UnsafeRawBufferPointer(bytes))
        }
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
        var heard: [UInt8] = []
        while true {
            let count = read(3, &byte, 1)
            if count == 0 || count < 0 && errno != EINTR { break }
            if count == 1 { heard.append(byte) }
        }
        if folders.allSatisfy({ $0.contains("/zerrow-") }) { CgroupTree.remove(trees: folders, version: version) }
        for path in heard.split(separator: 0) { ScratchPlace.removeLeft(at: String(decoding: path, as: UTF8.self)) }
    }
}
