import Store
import System

/// The client's side of an engine that serves.
public final class RemoteEngine {
    private let channel: Channel
    private let path: String
    /// The engine's process; nil where it can't be seen from here.
    private let process: ProcessDescriptor?
    /// Whether the engine has said that the run began.
    private var hasBegun = false
    /// The segments of the table that comes next.
    private var segments: [SegmentID: DescriptorBox] = [:]

    /// The engine's answer to a call.
    public enum Answer {
        case report(RunReport)
        /// The engine refused; the text says why, in words that follow "it".
        case refused(String)
    }

    /// Whether an engine serves at the address.
    public static func isThere(at address: ServeAddress) -> Bool { RemoteEngine(at: address) != nil }

    /// Connects to the engine that serves at the address; nil when none does.
    public init?(at address: ServeAddress) {
        // A socket in a folder that others can write to may be anybody's, and so may one that another user listens at.
        guard let folder = try? address.privateFolder(),
            // The path goes through the folder's descriptor.
            let connection = try? withExtendedLifetime(
                folder,
                {
                    try MessageSocket.connect(to: folder.kernelPath(address.name))
                })
        else { return nil }
        channel = Channel(connection.socket)
        process = connection.process
        path = address.path
    }

    /// Has a plan run there. A signal cancels it; a second one leaves without waiting, and the engine stops the run.
    ///
    /// - Throws: `EngineError.serve` when the engine dies meanwhile, or closes the connection; `EngineError.interrupted` when it was cancelled
    ///   before it could begin.
    public func run(
        _ plan: Plan, _ options: RunOptions, engine: EngineOptions, installation: Installation,
        observer: any RunObserver, signals: SignalDescriptor
    ) throws -> Answer {
        try channel.send(
            Datagram.message(
                Op.Client.run,
                [
                    "build": .string(ServeAddress.build(of: installation)),
                    "isolation_settings": .string(engine.isolationSettings),
                ]),
            payload: try ServeMessage.payload(ServeMessage.Call(plan: plan, options: options)))
        var cancelCount = 0
        while true {
            let entries = [(raw: signals.raw, events: Poll.Events.read), (channel.socket.raw, channel.interest)]
            _ = try Poll.wait(entries, timeoutMilliseconds: 100)
            while let signal = try signals.next() {
                cancelCount += 1
                observer.noteStop(by: signal)
                try channel.send(Datagram.message(Op.Client.cancel))
                if cancelCount > 1 { throw EngineError.interrupted }
            }
            channel.flush()
            if let answer = try hear(plan, observer) {
                // What was cancelled is not to be run in another way.
                if case .refused = answer, cancelCount > 0 { throw EngineError.interrupted }
                return answer
            }
            observer.tick()
        }
    }

    /// Takes the messages that have come, no more than `Limit.messagesPerTurn`: an engine that has more to say than the client can
    /// print must not keep it from its signals.
    private func hear(_ plan: Plan, _ observer: any RunObserver) throws -> Answer? {
        for _ in 0..<Limit.messagesPerTurn {
            switch channel.receive(ServerMessage.init) {
            case .nothing: return nil
            case .closed: return try endOfConnection()
            case .malformed(let what): throw EngineError.serve("the engine that serves at \(path) sent \(what)")
            case .message(.refused(let reason)): return .refused(reason)
            case .message(.ended(let end)):
                var report = end.report
                report.previews = end.previews
                return .report(report)
            case .message(let message): pass(on: message, plan, observer)
            }
        }
        return nil
    }

    /// The longest that a process which has closed its sockets because it ends takes to be gone, in milliseconds.
    private static let endMilliseconds = 2000

    /// Says what a connection's end means. An engine that lives and has not begun the run has refused it, without a word.
    private func endOfConnection() throws -> Answer {
        var what = "closed the connection, or ended,"
        if let process {
            let hasEnded = try !Poll.wait([(process.raw, .read)], timeoutMilliseconds: Self.endMilliseconds)[0].isEmpty
            if !hasEnded, !hasBegun { return .refused("it closed the connection before the run began") }
            what = hasEnded ? "ended" : "closed the connection"
        }
        throw EngineError.serve("the engine that serves at \(path) \(what) during the run")
    }

    private func pass(on message: ServerMessage, _ plan: Plan, _ observer: any RunObserver) {
        switch message {
        case .began:
            hasBegun = true
            observer.runBegan(plan)
        case .modelStarted(let model): observer.modelStarted(model)
        case .modelEnded(let end): observer.modelEnded(end.model, failure: end.failure)
        case .printed(let model, let lines): observer.printed(model, lines: lines)
        case .memory(let status): observer.memory(status)
        case .segments(let files): segments.merge(files) { $1 }
        case .table(let model, let rows, let ids, let descriptor):
            let files = ids.compactMap { id in segments[id].map { (id: id, file: $0) } }
            segments = [:]
            observer.handedOver(HandedTable(model: model, rows: rows, descriptor: descriptor, segments: files))
        case .note(let text): observer.note(text)
        case .refused, .ended: break
        }
    }
}
