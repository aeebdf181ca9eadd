import Glibc
import System

/// Makes one environment of its recipe, beside its place and then with its name: there is nothing of that name before it is whole.
///
/// No code of a package runs here. Only wheels are installed, which are unpacked, and the compiler is that of the interpreter without any
/// package (`-S`), so that no `.pth` file of a package is read.
struct EnvironmentMaking: Sendable {
    /// How long somebody who waits for another one that makes the environment sleeps before looking again.
    private static let periodMilliseconds = 100

    let cache: EnvironmentCache
    let tools: EnvironmentTools
    let id: String
    /// Polls readable when the environment is not wanted any more.
    let stop: DescriptorBox

    /// The right to use the environment, which is made if it isn't there. It waits for whoever makes it already.
    ///
    /// - Throws: `EnvironmentTools.Failure`; `EngineError.interrupted` when it is not wanted any more.
    func run() throws -> EnvironmentHold {
        while true {
            if let hold = try cache.hold(id) { return hold }
            if let lock = try cache.lockAlone(id) {
                if !Files.isFolder(cache.path(id)) { try make(lock) }
                // It is shared next; whoever takes it before that may remove the environment, and then it is made again.
                continue
            }
            let ready = try Poll.wait([(stop.raw, .read)], timeoutMilliseconds: Self.periodMilliseconds)
            if !ready[0].isEmpty { throw EngineError.interrupted }
        }
    }

    private func make(_ lock: DescriptorBox) throws {
        guard let recipe = cache.recipe(id) else {
            throw EnvironmentTools.Failure(text: "what it is made of is known no more: plan the project again")
        }
        let partial = cache.newPath(id, "partial")
        do {
            try make(recipe, partial, lock)
            HoldPoint.environment.pass()
            try Files.rename(partial, cache.path(id))
        } catch {
            // The rest is for whoever tidies up.
            try? FolderTree.remove(partial)
            throw error
        }
    }

    private func make(_ recipe: EnvironmentRecipe, _ partial: String, _ lock: DescriptorBox) throws {
        let list = partial + ".txt"
        try Files.write(list, recipe.lock)
        defer { try? Files.remove(list) }
        // Its scripts and its interpreter find their folder by where they are: it gets another name.
        let venv = ["venv", "--quiet", "--relocatable", "--no-project", "--python", recipe.python, partial]
        try finish(try tools.start(venv, folder: cache.folder, lock: lock))
        try Files.changeMode(partial, 0o755)
        let install = [
            "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--link-mode",
            "hardlink",
            "--python", partial + "/bin/python", "--requirements", list,
        ]
        if !recipe.lock.isEmpty {
            let install = install + cache.findLinks(recipe.wheels)
            let turn = try waitForTurn()
            try withExtendedLifetime(turn) {
                try finish(try tools.start(install, folder: cache.folder, lock: lock))
            }
        }
        // Tests of packages are not what models import; without an environment of its own the compiler runs nobody's code.
        let compile = [
            recipe.python, "-I", "-S", "-m", "compileall", "-q", "-j", "0", "-x", "/tests?/|/lib2to3/",
            partial + "/lib",
            tools.pythonFolder,
        ]
        // Files that are no Python of this version, templates for one, don't compile, and are not needed compiled.
        _ = try tools.start(program: compile, folder: cache.folder, lock: lock).finish(unless: [stop.raw])
        // Workers may be other users than the one whose umask all of it was made under.
        try FolderTree.show(partial)
    }

    /// The right to install. Two that install one package at the same time would each unpack it into uv's cache, and share no file; uv
    /// itself fetches several packages at once.
    private func waitForTurn() throws -> DescriptorBox {
        while true {
            if let turn = try cache.lockAlone("install") { return turn }
            let ready = try Poll.wait([(stop.raw, .read)], timeoutMilliseconds: Self.periodMilliseconds)
            if !ready[0].isEmpty { throw EngineError.interrupted }
        }
    }

    private func finish(_ process: ToolProcess) throws {
        let result = try process.finish(unless: [stop.raw])
        guard result.isSuccess else {
            throw EnvironmentTools.Failure(text: result.errors.isEmpty ? "\(result.ending)" : result.errors)
        }
    }
}
