import Scheduler
import System

/// The engine's side of one client: passes on the events of its run. A client that goes away cancels its run.
final class ServedClient: RunObserver {
    /// When so many messages wait for a client that does not read, lines that models print are dropped.
    private static let waitingMax = 10_000

    let channel: Channel
    /// Its run, from its call to the end.
    var run: Run?
    /// Whether it has asked for a run that begins when its saved results have been checked.
    var isAsking = false
    /// Whether it has cancelled that run.
    var hasCancelled = false
    private var droppedLines = 0

    init(_ socket: MessageSocket) { channel = Channel(socket) }

    /// Sends a message. A client that it can't be sent to is cut off, because it would wait for ever.
    private func send(_ body: JSONValue, _ descriptors: [DescriptorBox] = []) {
        do { try channel.send(body, descriptors) } catch { channel.close() }
    }

    private func send(_ op: String, payload: some Encodable) {
        // Making a payload fails only when memory is out: the client learns the rest from the report.
        if let payload = try? ServeMessage.payload(payload) { send(["op": .string(op)], [payload]) }
    }

    func refuse(_ reason: String) { send(["op": "refused", "message": .string(Self.short(reason))]) }

    func runBegan(_ plan: Plan) { send(["op": "began"]) }

    func modelStarted(_ model: String) { send(["op": "model-started", "model": .string(model)]) }

    func modelEnded(_ model: RunReport.Model, failure: String?) {
        send("model-ended", payload: ServeMessage.ModelEnd(model: model, failure: failure))
    }

    func printed(_ model: String, line: String) {
        if channel.waitingCount >= Self.waitingMax {
            droppedLines += 1
            return
        }
        if droppedLines > 0 {
            note("\(droppedLines) printed lines were dropped: they were not read fast enough")
            droppedLines = 0
        }
        send(["op": "printed", "model": .string(model), "line": .string(line)])
    }

    /// The most bytes of a note: as JSON it may take six times as much, and it has to fit into a message.
    private static let noteBytesMax = 20_000

    func note(_ text: String) {
        send(["op": "note", "text": .string(Self.short(text))])
    }

    private static func short(_ text: String) -> String {
        String(decoding: text.utf8.prefix(noteBytesMax), as: UTF8.self)
    }

    func memory(_ status: MemoryStatus) {
        if channel.waitingCount == 0 { send("memory", payload: status) }
    }

    /// The run is over.
    func ended(_ report: RunReport) {
        run = nil
        send("ended", payload: ServeMessage.RunEnd(report: report, previews: report.previews))
    }
}
