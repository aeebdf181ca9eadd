import Scheduler
import System

/// The engine's side of one client: passes on the events of its run. A client that goes away cancels its run.
final class ServedClient: RunObserver {
    let channel: Channel
    /// Its run, from its call to the end.
    var run: Run?
    /// Whether it has asked for a run that begins when its saved results have been checked.
    var isAsking = false
    /// Whether it has cancelled that run.
    var hasCancelled = false
    private var droppedLines = 0

    init(_ socket: MessageSocket) { channel = Channel(socket) }

    /// Sends a message. A client that it can't be sent to is cut off, because it would wait for ever; so is one for which too
    /// much waits.
    private func send(_ op: Op.ToClient, _ members: [String: JSONValue] = [:], payload: [UInt8]? = nil) {
        do throws(EngineError) {
            guard channel.waitingBytes <= Limit.queuedBytesMax else { return channel.close() }
            try channel.send(Datagram.message(op, members), payload: payload)
        } catch {
            channel.close()
        }
    }

    private func send(_ op: Op.ToClient, encoded value: some Encodable) {
        do { send(op, payload: try ServeMessage.payload(value)) } catch { channel.close() }
    }

    func refuse(_ reason: String) { send(.refused, ["message": .string(Self.short(reason))]) }

    func runBegan(_ plan: Plan) { send(.began) }

    func modelStarted(_ model: String) { send(.modelStarted, ["model": .string(model)]) }

    func modelEnded(_ model: RunReport.Model, failure: String?) {
        send(.modelEnded, encoded: ServeMessage.ModelEnd(model: model, failure: failure))
    }

    func printed(_ model: String, line: String) {
        if channel.waitingCount >= Limit.queuedLinesMax || channel.waitingBytes >= Limit.queuedBytesMax / 2 {
            droppedLines += 1
            return
        }
        if droppedLines > 0 {
            note("\(droppedLines) printed lines were dropped: they were not read fast enough")
            droppedLines = 0
        }
        send(.printed, ["model": .string(model), "line": .string(line)])
    }

    func note(_ text: String) {
        send(.note, ["text": .string(Self.short(text))])
    }

    /// A text cut so short that it fits into a message, even if JSON takes six times as much for it.
    private static func short(_ text: String) -> String {
        String(decoding: text.utf8.prefix(Limit.noteBytesMax), as: UTF8.self)
    }

    func memory(_ status: MemoryStatus) {
        if channel.waitingCount == 0 { send(.memory, encoded: status) }
    }

    /// The run is over.
    func ended(_ report: RunReport) {
        run = nil
        send(.ended, encoded: ServeMessage.RunEnd(report: report, previews: report.previews))
    }
}
