import Engine
import Glibc
import System
import Terminal

/// `run --watch`: the same run whenever a file changes that it depends on, until Ctrl-C.
///
/// Each run is a call of the command. What did not change comes from the engine that serves: the user's, or else one for just this time.
struct Watch {
    private static let pauseMilliseconds = 200

    private let call: RunCall
    private let words: [String]
    private let signals: SignalDescriptor
    private var environment: [String: String]
    private let installation: Installation
    private var server: (process: ChildProcess, folder: String)?

    /// Runs until a signal comes, and ends the process.
    ///
    /// - Parameter words: those of each call.
    static func run(_ call: RunCall, words: [String]) -> Never {
        do {
            var watch = try Watch(call, words)
            Output.leave(try watch.repeatUntilSignal())
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }

    private init(_ call: RunCall, _ words: [String]) throws {
        self.call = call
        self.words = words
        signals = try SignalDescriptor([SIGINT, SIGTERM, SIGHUP])
        Output.stopWaiting(on: signals)
        environment = Environment.variables
        installation = try Installation.find(environment: environment)
    }

    /// The exit code of the last run.
    private mutating func repeatUntilSignal() throws -> Int32 {
        startServer()
        defer { stopServer() }
        var sources = plannedSources()
        while true {
            let before = files(sources)
            guard let code = try runOnce() else { return 0 }
            sources = plannedSources() ?? sources
            Output.note("\(before.identities.count) files are watched; Ctrl-C ends it")
            guard let changed = try waitForChange(since: before, sources) else { return code }
            let shown = changed.prefix(3).map { path in
                path.hasPrefix(folder + "/") ? String(path.dropFirst(folder.count + 1)) : path
            }
            let more = changed.count > 3 ? " and \(changed.count - 3) more" : ""
            Output.note("\nchanged: \(shown.joined(separator: ", ").withoutControls(keepingColours: false))\(more)")
        }
    }

    private var folder: String { Path.resolved(call.project.project) ?? call.project.project }

    private func files(_ sources: [String]?) -> WatchedFiles {
        let named = [call.export.folder, call.engine.cacheFolder, call.engine.spillFolder].compactMap(\.self)
        let written = named.map { Path.resolved($0) ?? $0 } + [warehouse].compactMap(\.self)
        return WatchedFiles(in: folder, sources: sources ?? [], notBelow: Set(written))
    }

    private var warehouse: String?

    /// The files of the project's sources; nil where it can't be read, which its run says.
    private mutating func plannedSources() -> [String]? {
        guard
            let plan = try? CommandRun.plan(
                call.project, call.selection, noSandbox: call.engine.noSandbox, note: { _ in })
        else { return nil }
        warehouse = plan.catalog?.warehouse ?? warehouse
        return plan.sourceFiles
    }

    /// Waits until files differ, and have stopped changing. Nil: a signal has come.
    private func waitForChange(since before: WatchedFiles, _ sources: [String]?) throws -> [String]? {
        var last = before
        while true {
            let ready = try Poll.wait([(signals.raw, .read)], timeoutMilliseconds: Self.pauseMilliseconds)
            if !ready[0].isEmpty, try signals.next() != nil { return nil }
            let now = files(sources)
            let changed = now.changes(since: before)
            if !changed.isEmpty, now == last { return changed }
            last = now
        }
    }

    /// One call. Nil: a signal has ended it.
    private func runOnce() throws -> Int32? {
        let child = try start(words, output: .descriptor(1), errors: .descriptor(2))
        let ended = try ProcessDescriptor(process: child.pid)
        var isStopped = false
        while true {
            let ready = try Poll.wait([(signals.raw, .read), (ended.raw, .read)])
            if let number = try signals.next() {
                // It is in a group of its own: what a terminal sends comes here alone. A second one means at once.
                child.signal(number)
                isStopped = true
            }
            if !ready[1].isEmpty { break }
        }
        switch try child.wait() {
        case .exited(let code): return isStopped ? nil : code
        case .signalled: return isStopped ? nil : 1
        }
    }

    /// Starts this command, in a group of its own, to end with this process.
    private func start(
        _ words: [String], output: ChildProcess.Stream, errors: ChildProcess.Stream
    ) throws(SystemError) -> ChildProcess {
        let own = Files.linkTarget("/proc/self/exe") ?? "/proc/self/exe"
        return try ChildProcess(
            [own] + words,
            environment: environment.merging([ParentLife.variable: "\(getpid())"]) { $1 }, folder: ".", output: output,
            errors: errors, defaultSignals: [SIGPIPE, SIGXFSZ], hasOwnGroup: true)
    }

    // MARK: The engine that keeps what did not change

    private mutating func startServer() {
        let isServed = (try? ServeAddress(nil, environment: environment)).map { RemoteEngine.isThere(at: $0) } ?? false
        guard !isServed, !call.run.noServe else { return }
        let parent = environment["XDG_RUNTIME_DIR"] ?? "/tmp"
        Self.removeAbandoned(in: parent)
        let folder = "\(parent)/\(Self.prefix)\(getpid())"
        let socket = folder + "/engine.sock"
        var options = ["--socket", socket]
        if let jobs = call.engine.jobs { options += ["--jobs", "\(jobs)"] }
        if let memory = call.engine.memory { options += ["--memory", "\(memory.bytes)B"] }
        if call.engine.noSandbox { options.append("--no-sandbox") }
        guard (try? Files.makeDirectory(folder, mode: 0o700)) != nil else { return }
        environment["ZERROW_SOCKET"] = socket
        guard
            let process = try? start(["serve"] + options, output: .null, errors: .null)
        else { return }
        server = (process, folder)
        guard let address = try? ServeAddress(socket, environment: environment) else { return }
        for _ in 0..<500 where !RemoteEngine.isThere(at: address) {
            _ = try? Poll.wait([], timeoutMilliseconds: 10)
        }
    }

    private mutating func stopServer() {
        guard let (process, folder) = server else { return }
        server = nil
        process.signal(SIGINT)
        _ = try? process.wait()
        Self.remove(folder)
    }

    private static let prefix = "zerrow-watch-\(geteuid())-"

    /// Removes the folders of commands that were killed.
    private static func removeAbandoned(in parent: String) {
        for name in (try? Files.list(parent)) ?? [] where name.hasPrefix(prefix) {
            guard let process = pid_t(name.dropFirst(prefix.count)), kill(process, 0) != 0, errno == ESRCH else {
                continue
            }
            remove("\(parent)/\(name)")
        }
    }

    private static func remove(_ folder: String) {
        for name in (try? Files.list(folder)) ?? [] { try? Files.remove(folder + "/" + name) }
        try? Files.removeDirectory(folder)
    }
}
