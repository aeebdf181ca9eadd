import System

/// Where the parts of zerrow lie on this machine.
public struct Installation: Sendable {
    /// Its home folder: Python package, examples, bench.
    public var home: String
    /// The interpreter of the default environment.
    public var python: String
    /// `libzerrow_worker.so`, loaded by zygotes.
    public var workerLibrary: String
    /// `libzerrow_arena.so`, preloaded into zygotes.
    public var arenaLibrary: String
    /// The command's own executable.
    public var executable: String

    /// The folder of zerrow's Python package.
    public var pythonFolder: String { home + "/python" }

    /// The folders that an interpreter needs: its environment's, and the one that Python itself is installed in.
    ///
    /// - Throws: `EngineError.zygote` when there is no such interpreter.
    func interpreterFolders(_ python: String) throws(EngineError) -> [String] {
        guard let real = Path.resolved(python) else { throw .zygote("the interpreter \(python) does not exist") }
        // …/bin/python in both.
        return [Path.parent(Path.parent(python)), Path.parent(Path.parent(real))]
    }

    /// What stands for the engine in the keys of results: the builds of all that makes tables, or moves them. Packages and the
    /// Python code have their own part there.
    func build() throws(SystemError) -> String {
        // The running executable is read, not the file of its name: that may have been built anew since.
        let parts = [try BuildID.of("/proc/self/exe"), try BuildID.of(workerLibrary), try BuildID.of(arenaLibrary)]
        return parts.joined(separator: " ")
    }

    /// The interpreter of the launcher's environment; of a package installed from a wheel, whose home is
    /// `…/lib/pythonX/site-packages/zerrow/_engine`, that of the environment which it is installed in.
    private static func defaultPython(_ home: String) -> String {
        let own = home + "/.zerrow/env/bin/python"
        guard !Files.exists(own), home.hasSuffix("/zerrow/_engine") else { return own }
        return (0..<5).reduce(home) { folder, _ in Path.parent(folder) } + "/bin/python"
    }

    /// Finds the parts from `ZERROW_HOME` (set by the launcher) and the place of the running executable.
    ///
    /// `ZERROW_PYTHON` names another interpreter for the default environment.
    public static func find(environment: [String: String]) throws -> Installation {
        guard let executable = Path.resolved("/proc/self/exe") else {
            throw EngineError.installation("cannot tell where the executable is: is /proc mounted?")
        }
        let folder = Path.parent(executable)
        guard let home = environment["ZERROW_HOME"] ?? Path.ancestor(of: folder, holding: "python/zerrow/__init__.py")
        else {
            throw EngineError.installation(
                "ZERROW_HOME is not set: start zerrow with the repository's launcher, or install it with pip")
        }
        let installation = Installation(
            home: home,
            python: environment["ZERROW_PYTHON"] ?? defaultPython(home),
            workerLibrary: folder + "/libzerrow_worker.so",
            arenaLibrary: folder + "/libzerrow_arena.so",
            executable: executable)
        for part in [installation.python, installation.workerLibrary, installation.arenaLibrary]
        where !Files.exists(part) {
            throw EngineError.installation("\(part) is missing: start zerrow with the launcher, or install it again")
        }
        return installation
    }
}
