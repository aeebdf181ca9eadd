import System

/// The client's side of an engine that serves.
public final class RemoteEngine {
    private let channel: Channel
    private let path: String

    /// What came of asking it.
    public enum Answer {
        case report(RunReport)
        /// It would not; why, in words that follow "it".
        case refused(String)
    }

    /// Connects to the engine that serves at the address; nil when none does.
    public init?(at address: ServeAddress) {
        // A socket in a folder that others can write to may be anybody's, and so may one that another user listens at.
        guard let folder = try? address.privateFolder(),
            let socket = try? MessageSocket.connect(to: folder.kernelPath(address.name))
        else { return nil }
        channel = Channel(socket)
        path = address.path
    }

    /// Has a plan run there. A signal cancels it; a second one leaves without waiting, and the engine stops the run.
    ///
    /// - Throws: `EngineError.serve` when the engine dies meanwhile.
    public func run(
        _ plan: Plan, _ options: RunOptions, engine: EngineOptions, installation: Installation,
        observer: any RunObserver, signals: SignalDescriptor
    ) throws -> Answer {
        try channel.send(
            [
                "op": "run", "build": .string(ServeAddress.build(of: installation)),
                "manner": .string(engine.manner),
            ], [try ServeMessage.payload(ServeMessage.Call(plan: plan, options: options))])
        var cancelCount = 0
        while true {
            let entries = [(raw: signals.raw, events: Poll.Events.read), (channel.socket.raw, channel.interest)]
            _ = try Poll.wait(entries, timeoutMilliseconds: 100)
            while let signal = try signals.next() {
                cancelCount += 1
                observer.noteStop(by: signal)
                try channel.send(["op": "cancel"])
                if cancelCount > 1 { throw EngineError.interrupted }
            }
            channel.flush()
            if let answer = try hear(plan, observer) { return answer }
            observer.tick()
        }
    }

    private func hear(_ plan: Plan, _ observer: any RunObserver) throws -> Answer? {
        while true {
            switch channel.receive() {
            case .nothing: return nil
            case .closed: throw EngineError.serve("the engine that serves at \(path) ended during the run")
            case .malformed(let what): throw EngineError.serve("the engine that serves at \(path) sent \(what)")
            case .message(let message, let descriptors):
                switch message.op {
                case "refused": return .refused(message.body["message"]?.string ?? "gave no reason")
                case "ended":
                    let end = try ServeMessage.value(ServeMessage.RunEnd.self, descriptors)
                    var report = end.report
                    report.previews = end.previews
                    return .report(report)
                default: try pass(on: message, descriptors, plan, observer)
                }
            }
        }
    }

    private func pass(
        on message: Datagram, _ descriptors: [DescriptorBox], _ plan: Plan, _ observer: any RunObserver
    ) throws {
        let model = message.body["model"]?.string ?? ""
        switch message.op {
        case "began": observer.runBegan(plan)
        case "model-started": observer.modelStarted(model)
        case "model-ended":
            let end = try ServeMessage.value(ServeMessage.ModelEnd.self, descriptors)
            observer.modelEnded(end.model, failure: end.failure)
        case "printed": observer.printed(model, line: message.body["line"]?.string ?? "")
        case "memory": observer.memory(try ServeMessage.value(MemoryStatus.self, descriptors))
        case "note": observer.note(message.body["text"]?.string ?? "")
        default: throw EngineError.serve("the engine that serves at \(path) sent '\(message.op.prefix(40))'")
        }
    }
}
