import Glibc
import Sandbox
import System

/// Builds packages that have no wheel, in a sandbox: building runs a stranger's code.
///
/// A package's wheels lie in a folder of the package's own, and nobody but those who had to build that package is shown them: what a
/// package built can stand for no other one.
struct WheelBuilder {
    /// The longest wheel, in bytes.
    private static let wheelBytesMax = 1 << 30
    private static let errorBytesMax = 2000
    private static let secondsMax = 1800
    /// The user of a build within its sandbox, where the engine is root.
    private static let user = 900

    let installation: Installation
    let environment: [String: String]
    let cache: EnvironmentCache
    let uv: String
    let signals: SignalDescriptor?

    /// The name, in the folder of environments, of the folder that has the wheel of a package; it is built unless it is there.
    ///
    /// - Parameter requirement: the package, as pip takes it, with the version if that is known.
    /// - Throws: `EnvironmentTools.Failure` with the end of what was printed; `EngineError.interrupted`.
    func wheelFolder(of name: String, _ requirement: String, for interpreter: EnvironmentTools.Interpreter) throws
        -> String
    {
        let text = [name, requirement, interpreter.path, interpreter.version].joined(separator: "\n")
        let folder = "wheels-" + SHA256.text(of: Array(text.utf8)).prefix(32)
        let path = "\(cache.folder)/\(folder)"
        if Files.isFolder(path) { return folder }
        let wheel = try build(name, requirement, interpreter)
        let partial = cache.newPath(folder, "partial")
        try Files.makeDirectory(partial, mode: 0o700)
        do {
            let file = try FileDescriptor.open("\(partial)/\(wheel.name)", O_WRONLY | O_CREAT | O_EXCL)
            try file.writeAll(wheel.content, at: 0)
            try Files.rename(partial, path)
        } catch {
            try? FolderTree.remove(partial)
            // Another run was faster.
            if !Files.isFolder(path) { throw error }
        }
        return folder
    }

    private func build(
        _ name: String, _ requirement: String, _ interpreter: EnvironmentTools.Interpreter
    ) throws -> (name: String, content: [UInt8]) {
        guard EnvironmentRequest.isRequirement(requirement), EnvironmentRequest.isRequirement(name) else {
            throw EnvironmentTools.Failure(text: "\(name) has no wheel, and \(requirement) can't be built")
        }
        let output = try FileDescriptor.memory(named: "wheel", bytes: 0, sealable: false)
        let log = try FileDescriptor.memory(named: "build-log", bytes: 0, sealable: false)
        let zygote = try Zygote.spawn(try spec(name, requirement, interpreter), control: output, output: log)
        defer {
            zygote.kill()
            zygote.wait()
        }
        let waits = [zygote.descriptor.raw] + (signals.map { [$0.raw] } ?? [])
        let ready = try Poll.wait(waits.map { ($0, .read) }, timeoutMilliseconds: Self.secondsMax * 1000)
        if ready.dropFirst().contains(where: { !$0.isEmpty }) { throw EngineError.interrupted }
        zygote.kill()
        zygote.wait()
        let bytes = try output.status().bytes
        let end = try log.status().bytes
        guard bytes > 0, bytes <= Self.wheelBytesMax else {
            let printed = ToolProcess.shown(try log.bytes(max(0, end - Self.errorBytesMax)..<end))
            let why = ready[0].isEmpty ? "it took more than \(Self.secondsMax) s" : printed
            throw EnvironmentTools.Failure(
                text: "\(requirement) has no wheel, and building it in a sandbox failed:\n\(why)")
        }
        let content = try output.bytes(0..<bytes)
        let line = String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        guard Self.isWheel(line, of: name) else {
            throw EnvironmentTools.Failure(
                text: "\(requirement) has no wheel, and what was built of it is none of that name")
        }
        return (line, Array(content[(line.utf8.count + 1)...]))
    }

    /// The sandbox: a worker's with network, which shows no project.
    private func spec(_ name: String, _ requirement: String, _ interpreter: EnvironmentTools.Interpreter) throws
        -> ZygoteSpec
    {
        let uv = Path.resolved(uv) ?? uv
        let shown =
            try installation.interpreterFolders(installation.python) + installation.interpreterFolders(interpreter.path)
            + [installation.pythonFolder, installation.workerLibrary, uv]
        var variables = [
            "ZERROW_WORKER_LIBRARY": installation.workerLibrary, "ZERROW_SANDBOX": "1",
            "ZERROW_BUILD_USER": "\(WorkerUsers.isAvailable ? Self.user : 0)",
            "ZERROW_BUILD_SHOWN": try Zygote.placesBelowTmp(showing: shown).joined(separator: "\n"),
            "PYTHONPATH": installation.pythonFolder, "PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp", "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin", "NO_COLOR": "1",
        ]
        // Where packages come from; a password in an address is nothing for the code that is built.
        for (variable, value) in environment where !value.contains("@") {
            let isProxy = ["http_proxy", "https_proxy", "no_proxy"].contains(variable.lowercased())
            if isProxy || ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "SSL_CERT_FILE", "PIP_CERT"].contains(variable) {
                variables[variable] = value
            }
        }
        let index = ["UV_DEFAULT_INDEX", "UV_INDEX_URL"].lazy.compactMap { environment[$0] }.first
        if let index, !index.contains("@") { variables["PIP_INDEX_URL"] = index }
        if let more = environment["UV_EXTRA_INDEX_URL"], !more.contains("@") { variables["PIP_EXTRA_INDEX_URL"] = more }
        return ZygoteSpec(
            arguments: [
                installation.python, "-P", "-s", "-m", "zerrow.wheel_builder", name, requirement, interpreter.path, uv,
            ],
            environment: variables, readPaths: shown, hasNetwork: true, isSandboxed: true,
            tmpBytesMax: UInt64((Engine.memoryBytesThere ?? (4 << 30)) / 4))
    }

    /// Whether a text can be the name of a wheel's file of that package.
    static func isWheel(_ file: String, of name: String) -> Bool {
        func canonical(_ text: some StringProtocol) -> String {
            text.split { "-_.".contains($0) }.joined(separator: "-").lowercased()
        }
        let parts = file.split(separator: "-", omittingEmptySubsequences: false)
        let isPlain = file.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20) || "-_.+!".utf8.contains(byte)
        }
        return isPlain && file.hasSuffix(".whl") && file.utf8.count < 250 && (5...6).contains(parts.count)
            && canonical(parts[0]) == canonical(name)
    }
}
