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
    private var clients: [ServedClient] = []
    private var isEnding = false
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
        self.engine = engine
        self.address = address
        self.note = note
    }

    /// Serves until a signal comes (SIGUSR1 only empties the caches), then cancels all runs and returns when they are over.
    public func serve(until signals: SignalDescriptor) {
        while !isEnding || clients.contains(where: { $0.run != nil || $0.isAsking }) {
            var watches = [
                Watch(signals.raw) { _ in
                    while let signal = try? signals.next() {
                        if signal == SIGUSR1 {
                            self.engine.forgetAll()
                            self.note("the caches are empty")
                            continue
                        }
                        self.isEnding = true
                        for client in self.clients { client.run?.cancel() }
                    }
                }
            ]
            if !isEnding { watches.append(Watch(socket.raw) { _ in self.accept() }) }
            for client in clients where !client.channel.isClosed {
                watches.append(
                    Watch(client.channel.socket.raw, client.channel.interest) { _ in self.hear(client) })
            }
            engine.waitAndHandle(beside: watches)
            for client in clients {
                cancelIfGone(client)
                endRun(of: client)
            }
            clients.removeAll { $0.channel.isClosed && $0.run == nil }
        }
        flush()
        try? folder.remove(address.name)
    }

    /// Gives clients a moment to take their reports.
    private func flush() {
        for _ in 0..<20 where clients.contains(where: { $0.channel.waitingCount > 0 && !$0.channel.isClosed }) {
            for client in clients { client.channel.flush() }
            usleep(50_000)
        }
    }

    private func accept() {
        while let (socket, user) = try? socket.accept() {
            // The file's mode keeps other users out; root can pass it, and is refused here too.
            guard user == geteuid() else { continue }
            clients.append(ServedClient(socket))
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
                client.channel.close()
            case .message(let message): handle(message, from: client)
            }
        }
    }

    private func cancelIfGone(_ client: ServedClient) {
        guard client.channel.isClosed, let run = client.run, !run.isCancelled else { return }
        note("\(run.plan.project.name): the client of \(run.id) is gone")
        run.cancel()
    }

    private func handle(_ message: ClientMessage, from client: ServedClient) {
        switch message {
        case .run(let build, let isolationSettings, let call) where client.run == nil && !client.isAsking:
            begin(build, isolationSettings, call, client)
        case .cancel: client.cancel()
        case .run: client.channel.close()
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
        // A plan of thousands of models takes its time to be read.
        engine.background.begin(.prepare) { () -> Result<ServeMessage.Call, EngineError> in
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
