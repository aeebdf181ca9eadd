import Glibc
import Scheduler
import System

/// An engine that serves all runs of its user: its zygotes, segments and caches stay warm from run to run.
///
/// Used on one thread, the one that made it.
public final class Server {
    /// The engine.
    public let engine: Engine
    private let address: ServeAddress
    /// Where its socket is, open: only this user can put anything there.
    private let folder: Folder
    private let socket: LocalSocket
    /// Locked as long as this engine serves.
    private let lockFile: DescriptorBox
    private let clients: ServedClients
    /// The planner that clients get forks of; nil where workers, and so planners, are not isolated.
    private let planner: WarmPlanner?
    private var isEnding = false
    /// Whether clients wait to be taken until the engine may have descriptors again.
    private var isPausing = false
    private let note: (String) -> Void

    /// Takes the address, also after an engine that died there.
    ///
    /// - Parameter note: called with a line when runs begin and end.
    /// - Throws: `EngineError.serve` when another engine serves there.
    public init(_ engine: Engine, at address: ServeAddress, note: @escaping (String) -> Void) throws {
        folder = try address.madeFolder()
        lockFile = DescriptorBox(try folder.openOrMakeOwn(address.name + ".lock"))
        guard try lockFile.descriptor.lockIfFree() else {
            throw EngineError.serve("another engine serves at \(address.path) already")
        }
        // Whoever bound it is dead: the lock was free.
        if try folder.status(of: address.name) != nil { try folder.remove(address.name) }
        socket = try LocalSocket(listeningAt: folder.kernelPath(address.name))
        clients = ServedClients(descriptorsMax: FileDescriptor.limit)
        planner =
            engine.options.isSandboxed ? WarmPlanner(engine.installation, engine.environment, engine.timers) : nil
        self.engine = engine
        self.address = address
        self.note = note
    }

    /// Serves until a signal comes (SIGUSR1 only empties the caches), then cancels all runs and returns when they are over.
    public func serve(until signals: SignalDescriptor) {
        while !isEnding || clients.isBusy {
            var watches = [
                Watch(signals.raw) { _ in
                    while let signal = try? signals.next() {
                        if signal == SIGUSR1 {
                            self.engine.forgetAll()
                            self.note("the caches are empty")
                            continue
                        }
                        self.isEnding = true
                        for client in self.clients.all { client.run?.cancel() }
                    }
                }
            ]
            if !isEnding, !isPausing { watches.append(Watch(socket.raw) { _ in self.accept() }) }
            for client in clients.all where !client.channel.isClosed {
                watches.append(
                    Watch(client.channel.socket.raw, client.channel.interest) { _ in self.hear(client) })
            }
            planner?.watch(&watches)
            engine.waitAndHandle(beside: watches)
            clients.cutOffIdle()
            for client in clients.all {
                cancelIfGone(client)
                endRun(of: client)
            }
            clients.removeGone()
        }
        planner?.end()
        flush()
        try? folder.remove(address.name)
    }

    /// Gives clients a moment to take their reports.
    private func flush() {
        for _ in 0..<20 where clients.all.contains(where: { $0.channel.waitingCount > 0 && !$0.channel.isClosed }) {
            for client in clients.all { client.channel.flush() }
            usleep(50_000)
        }
    }

    /// How long clients wait when the engine has no descriptor for them, in seconds.
    private static let acceptPause = 0.1

    /// Takes those that have connected, no more than `Limit.messagesPerTurn`: the calls of those that are there are heard in between.
    private func accept() {
        do throws(SystemError) {
            for _ in 0..<Limit.messagesPerTurn {
                guard let (socket, user) = try socket.accept() else { return }
                // The file's mode keeps other users out; root can pass it, and is refused here too.
                if user == geteuid() { clients.add(ServedClient(socket)) }
            }
        } catch {
            // Descriptors or memory are used up (EMFILE, ENFILE, ENOMEM), and the socket polls readable nevertheless.
            isPausing = true
            engine.timers.after(seconds: Self.acceptPause) { self.isPausing = false }
        }
    }

    private func hear(_ client: ServedClient) {
        client.channel.flush()
        for _ in 0..<Limit.messagesPerTurn where !client.channel.isClosed {
            switch client.channel.receive(ClientMessage.init) {
            case .nothing: return
            case .closed: break
            case .malformed(let what):
                client.refuse("it can't read what its client sent: \(what)")
            case .message(let message): handle(message, from: client)
            }
        }
    }

    private func cancelIfGone(_ client: ServedClient) {
        guard client.channel.isClosed, let run = client.run, !run.isCancelled else { return }
        let end = client.cutOffReason.map { "was cut off: \($0)" } ?? "is gone"
        note("\(run.plan.project.name): the client of \(run.id) \(end)")
        run.cancel()
    }

    private func handle(_ message: ClientMessage, from client: ServedClient) {
        switch message {
        case .run(let build, let isolationSettings, let call) where !client.isBusy && !client.isRefused:
            begin(build, isolationSettings, call, client)
        case .cancel: client.cancel()
        case .planner(let call, let socket): if !isEnding { planner?.pass(socket, asked: call) }
        case .run: client.cutOff("it called a second time")
        }
    }

    private func begin(_ build: String?, _ isolationSettings: String?, _ file: ReceivedFile, _ client: ServedClient) {
        guard build == ServeAddress.build(of: engine.installation) else {
            return client.refuse("it is of another build or installation")
        }
        guard isolationSettings == engine.options.isolationSettings else {
            return client.refuse("it was started with other options: \(engine.options.isolationSettings)")
        }
        guard !isEnding else { return client.refuse("it is ending") }
        let askedAt = MonotonicClock.nanoseconds()
        client.ask()
        // A plan of thousands of models takes its time to be read, and keeps no short one waiting.
        engine.background.begin(file.bytes > ServeMessage.longBytes ? .longCall : .prepare) {
            () -> Result<ServeMessage.Call, EngineError> in
            ServeMessage.Call.read(file)
        } then: { result in
            switch result {
            case .success(let call):
                self.engine.prepare(call.plan, call.options, note: client.note) {
                    self.begin(call, client, $0, askedAt: askedAt)
                }
            case .failure(let error):
                client.endAsking()
                client.refuse("it could not begin the run: \(error)")
            }
        }
    }

    /// Begins a run whose saved results were checked. Meanwhile its client may have gone, or the server may be ending.
    private func begin(
        _ call: ServeMessage.Call, _ client: ServedClient, _ prepared: RunPreparation, askedAt: UInt64
    ) {
        client.endAsking()
        guard !client.channel.isClosed else { return }
        guard !isEnding else { return client.refuse("it is ending") }
        do {
            let run = try engine.begin(call.plan, call.options, observer: client, prepared, askedAt: askedAt)
            note("\(call.plan.project.name): \(run.id) began, \(call.plan.models.count) models")
            client.begin(run)
        } catch {
            client.refuse("it could not begin the run: \(error)")
        }
    }

    private func endRun(of client: ServedClient) {
        guard let run = client.run, run.outcome != nil else { return }
        let report = engine.end(run)
        note("\(run.plan.project.name): \(run.id) \(report.status)")
        client.ended(report)
    }
}
