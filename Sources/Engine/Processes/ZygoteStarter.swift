import Sandbox
import System

/// How zygotes are started: with which program, environment and files. All of it touches file systems, which may be slow: it is used in
/// the background.
struct ZygoteStarter: Sendable {
    private let installation: Installation
    private let isSandboxed: Bool
    private let hasArena: Bool
    /// Folders that the engine itself writes to: no worker sees them.
    private let writtenFolders: [String]
    /// Variables that are handed on.
    private let handedOn: [String: String]
    /// A worker's /tmp and /dev/shm are memory: a quarter of the machine's, each. In bytes.
    private let tmpBytesMax: UInt64

    /// - Parameters:
    ///   - environment: the engine's own.
    ///   - memoryBytes: what the machine has; nil where that is unknown.
    init(_ installation: Installation, _ options: EngineOptions, _ environment: [String: String], memoryBytes: Int?) {
        self.installation = installation
        isSandboxed = options.isSandboxed
        hasArena = options.hasArena
        writtenFolders = [options.cacheFolder, options.spillFolder].compactMap(\.self)
        handedOn = [
            "LANG": environment["LANG"] ?? "C.UTF-8",
            "ARROW_DEFAULT_MEMORY_POOL": environment["ARROW_DEFAULT_MEMORY_POOL"] ?? "system",
        ]
        tmpBytesMax = UInt64((memoryBytes ?? (4 << 30)) / 4)
    }

    /// Starts a zygote. It dies with the thread that calls this.
    @Sendable func spawn(_ key: ZygoteKey, control: DescriptorBox, output: DescriptorBox) throws -> Zygote {
        var variables = [
            "ZERROW_WORKER_LIBRARY": installation.workerLibrary,
            "ZERROW_SANDBOX": isSandboxed ? "1" : "0",
            "PYTHONPATH": installation.pythonFolder,
            // The order of a set of texts is the same in every process, so that results can be.
            "PYTHONHASHSEED": "0",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": Path.parent(key.python) + ":/usr/local/bin:/usr/bin:/bin",
            "HOME": "/tmp",
        ].merging(handedOn) { own, _ in own }
        // Without it the zygote waits to be told.
        if !key.isEarly { variables["ZERROW_PRELOAD_MODULES"] = key.modules.joined(separator: ",") }
        if hasArena { variables["LD_PRELOAD"] = preloadedName }
        var spec = ZygoteSpec(
            arguments: Self.arguments(python: key.python), environment: variables,
            readPaths: try readPaths(python: key.python) + [key.project], hasNetwork: key.hasNetwork,
            isSandboxed: isSandboxed, tmpBytesMax: tmpBytesMax)
        if let name = preloadedName { spec.links = [name: installation.arenaLibrary] }
        return try Zygote.spawn(spec, control: control.descriptor, output: output.descriptor)
    }

    /// The command line of a zygote, which takes no module from the folder that it is started in, and none of its user's own.
    private static func arguments(python: String) -> [String] {
        let isOld = Path.resolved(python)?.hasSuffix("/python3.10") ?? false
        if !isOld { return [python, "-P", "-s", "-m", "zerrow.zygote"] }
        // Python 3.10 has no such option: the folder is taken out before anything is imported that isn't built in.
        let start =
            "import sys; del sys.path[0]; import runpy; "
            + "runpy.run_module('zerrow.zygote', run_name='__main__', alter_sys=True)"
        return [python, "-s", "-c", start]
    }

    /// What workers of a plan see of its project.
    func workerView(of plan: Plan) -> WorkerView {
        // An interpreter that is missing is told of where it is started.
        let needed = plan.environments.flatMap { (try? readPaths(python: $0.python)) ?? [] }
        return WorkerView(
            plan, staying: isSandboxed ? Zygote.places(showing: needed) : [],
            written: writtenFolders.compactMap { Path.resolved($0) }, mountPoints: Machine.mountPoints())
    }

    /// What a zygote of an environment reads: the interpreter's folders, and zerrow's own parts.
    private func readPaths(python: String) throws -> [String] {
        try installation.interpreterFolders(python)
            + [installation.pythonFolder, installation.workerLibrary, installation.arenaLibrary]
    }

    /// What the loader calls the arena. It takes names apart at spaces and colons, and `$` for something else: in a sandbox a link
    /// without any stands for the library. Without one there is no place for a link: nil where the name can't be used.
    private var preloadedName: String? {
        if isSandboxed { return "/libzerrow_arena.so" }
        return installation.arenaLibrary.contains { " :$\t\n".contains($0) } ? nil : installation.arenaLibrary
    }
}
