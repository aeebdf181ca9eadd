import Glibc
import System

/// The command's side of the script that called it: tells it of a run, and hands it the final tables. A script that closes its end stops
/// the run, as Ctrl-C would.
///
/// Passes everything on to the observer that shows the run to people.
public final class ScriptClient: RunObserver {
    private let channel: Channel
    private let observer: any RunObserver
    private var droppedLines = 0
    private var hasStopped = false

    /// Takes the end of a socket pair that the process was started with, by its number.
    ///
    /// - Throws: `EngineError.options` when there is no such socket.
    public init(_ raw: Int32, forwarding observer: any RunObserver) throws {
        do throws(SystemError) {
            // Nothing that this process starts shall have it too: the script could not see its end.
            let own = try FileDescriptor.duplicate(of: raw)
            _ = FileDescriptor(owning: raw)
            channel = Channel(MessageSocket(own))
        } catch {
            throw EngineError.options("--hand-tables names descriptor \(raw), which is not open")
        }
        self.observer = observer
    }

    /// Says which job it is, and what opens its tables.
    public func greet(job: String, _ installation: Installation) {
        send(.hello, ["job": .string(job), "library": .string(installation.workerLibrary)])
    }

    /// Sends what waits, as long as the script reads and no signal comes.
    public func finish(unless signals: SignalDescriptor?) {
        if droppedLines > 0 { send(.note, ["text": .string("\(droppedLines) printed lines were dropped")]) }
        while channel.waitingCount > 0, !channel.isClosed {
            let ready = try? Poll.wait(
                [(channel.socket.raw, channel.interest), (signals?.raw ?? -1, .read)], timeoutMilliseconds: 100)
            if let ready, !ready[1].isEmpty { return }
            channel.flush()
        }
    }

    private func send(_ op: Op.ToScript, _ members: [String: JSONValue] = [:]) {
        do throws(EngineError) {
            try channel.send(Datagram.message(op, members))
        } catch {
            observer.note("the script could not be told of '\(op.rawValue)': \(error)")
        }
    }

    private static func short(_ text: String) -> JSONValue {
        .string(String(decoding: text.utf8.prefix(Limit.noteBytesMax), as: UTF8.self))
    }

    // MARK: What it observes

    /// The run begins. Of very many models nothing but their number is told.
    public func runBegan(_ plan: Plan) {
        var members: [String: JSONValue] = ["count": .integer(Int64(plan.models.count))]
        let models = plan.models.map { model in
            JSONValue.object([
                "name": .string(model.name), "kind": .string(model.kind),
                "inputs": .array(model.inputs.map { .string($0) }),
            ])
        }
        if JSONValue.array(models).utf8.count < Limit.messageBytesMax / 2 { members["models"] = .array(models) }
        send(.began, members)
        observer.runBegan(plan)
    }

    /// A model's worker was asked for.
    public func modelStarted(_ model: String) {
        send(.modelStarted, ["model": .string(model)])
        observer.modelStarted(model)
    }

    /// A model has its final status.
    public func modelEnded(_ model: RunReport.Model, failure: String?) {
        var members: [String: JSONValue] = ["model": .string(model.name), "status": .string(model.status)]
        if let time = model.wallMilliseconds, time.isFinite { members["wall_ms"] = .number(time) }
        if let rows = model.output?.rows { members["rows"] = .integer(rows) }
        if let failure { members["message"] = Self.short(failure) }
        send(.modelEnded, members)
        observer.modelEnded(model, failure: failure)
    }

    /// Lines that a model printed; of a script that does not read, what is too much is dropped and counted.
    public func printed(_ model: String, lines: [String]) {
        for line in lines {
            guard channel.waitingBytes < Limit.queuedBytesMax else {
                droppedLines += 1
                continue
            }
            // A line of `Limit.lineBytesMax` has a message of its own: as JSON, no text takes more than six times as much.
            send(.printed, ["model": .string(model), "lines": .array([.string(line)])])
        }
        observer.printed(model, lines: lines)
    }

    /// A message for the user.
    public func note(_ text: String) {
        send(.note, ["text": Self.short(text)])
        observer.note(text)
    }

    /// What is held; scripts are not told.
    public func memory(_ status: MemoryStatus) { observer.memory(status) }

    /// A final table.
    public func handedOver(_ table: HandedTable) {
        do throws(EngineError) {
            for (message, descriptors) in table.messages(Op.ToScript.segments, Op.ToScript.table) {
                try channel.send(message, descriptors)
            }
        } catch {
            observer.note("the script could not be handed '\(table.model)': \(error)")
        }
    }

    /// Time passes: sends what waits, and looks whether the script is still there.
    public func tick() {
        channel.flush()
        let arrival = channel.receive { (message, _) throws(Malformed) -> Void in throw .unknown(message.op) }
        switch arrival {
        case .nothing: break
        case .closed, .malformed, .message:
            // Whoever waits for signals stops the run.
            if !hasStopped { _ = kill(getpid(), SIGTERM) }
            hasStopped = true
        }
        observer.tick()
    }

    /// A signal stops the run.
    public func noteStop(by signal: Int32) { observer.noteStop(by: signal) }
}
