import Scheduler
import System

/// The engine's side of one client: passes on the events of its run. A client that goes away cancels its run.
final class ServedClient: RunObserver {
    let channel: Channel
    /// Its run, from its call to the end.
    private(set) var run: Run?
    /// Whether it has asked for a run that begins when its saved results have been checked.
    private(set) var isAsking = false
    /// Whether it has cancelled that run.
    private var hasCancelled = false
    /// Whether it has been told that it gets no run. Its connection ends with that.
    private(set) var isRefused = false
    /// Why the engine has closed the connection; nil where it hasn't.
    private(set) var cutOffReason: String?
    /// Since when it has wanted nothing, in nanoseconds of the monotonic clock; it says nothing while it `isBusy`.
    private(set) var idleSince = MonotonicClock.nanoseconds()
    private var droppedLines = 0
    /// How many printed lines each of the last messages holds; of those that wait, all are in it.
    private var lineCounts: [Int] = []

    init(_ socket: MessageSocket) { channel = Channel(socket) }

    /// It has asked for a run.
    func ask() { isAsking = true }

    /// Its run begins, or is not going to.
    func endAsking() {
        isAsking = false
        idleSince = MonotonicClock.nanoseconds()
    }

    /// Whether it has a run, or has asked for one.
    var isBusy: Bool { isAsking || run != nil }

    /// Closes its connection, which cancels its run.
    func cutOff(_ reason: String) {
        if !channel.isClosed { cutOffReason = reason }
        channel.close()
    }

    /// Its run has begun; it may have been cancelled before.
    func begin(_ run: Run) {
        self.run = run
        if hasCancelled { run.cancel() }
        hasCancelled = false
    }

    /// It cancels its run, also one that has not begun.
    func cancel() {
        if isAsking { hasCancelled = true } else { run?.cancel() }
    }

    /// A client that can't be told something is cut off, as it would wait for ever; and one for which too much waits.
    private func send(
        _ op: Op.ToClient, _ members: [String: JSONValue] = [:], payload: [UInt8]? = nil, lineCount: Int = 0
    ) {
        do throws(EngineError) {
            guard channel.waitingBytes <= Limit.queuedBytesMax else {
                return cutOff("it did not read, and \(channel.waitingBytes) bytes waited for it")
            }
            try channel.send(Datagram.message(op, members), payload: payload)
            lineCounts.append(lineCount)
            lineCounts.removeFirst(max(0, lineCounts.count - channel.waitingCount))
        } catch {
            cutOff("it can't be told something: \(error)")
        }
    }

    private func send(_ op: Op.ToClient, encoded value: some Encodable) {
        do {
            send(op, payload: try ServeMessage.payload(value))
        } catch {
            cutOff("it can't be told something: \(error)")
        }
    }

    /// Tells it that it gets no run, or no more of the one it has, and why; its connection is closed when it has been told.
    func refuse(_ reason: String) {
        send(.refused, ["message": .string(Self.short(reason))])
        isRefused = true
        if isBusy { cutOff(reason) } else { channel.closeWhenSent() }
    }

    func runBegan(_ plan: Plan) { send(.began) }

    func modelStarted(_ model: String) { send(.modelStarted, ["model": .string(model)]) }

    func modelEnded(_ model: RunReport.Model, failure: String?) {
        send(.modelEnded, encoded: ServeMessage.ModelEnd(model: model, failure: failure))
    }

    /// Many lines travel in one message: a message for each would take the engine's time from other runs.
    func printed(_ model: String, lines: [String]) {
        var rest = lines[...]
        while !rest.isEmpty {
            var bytes = 0
            // A line of `Limit.lineBytesMax` has a message of its own: as JSON, no text takes more than six times as much.
            let part = rest.prefix { line in
                // Its quotes and its comma count too.
                bytes += line.utf8.count + 3
                return bytes <= Limit.lineBytesMax / 2
            }
            send(printed: part.isEmpty ? rest.prefix(1) : part, by: model)
            rest = rest.dropFirst(max(1, part.count))
        }
    }

    private func send(printed lines: ArraySlice<String>, by model: String) {
        lineCounts.removeFirst(max(0, lineCounts.count - channel.waitingCount))
        let isFull = lineCounts.reduce(0, +) >= Limit.queuedLinesMax || channel.waitingBytes >= Limit.queuedBytesMax / 2
        if isFull {
            droppedLines += lines.count
            return
        }
        if droppedLines > 0 {
            note("\(droppedLines) printed lines were dropped: they were not read fast enough")
            droppedLines = 0
        }
        send(
            .printed, ["model": .string(model), "lines": .array(lines.map { .string($0) })], lineCount: lines.count)
    }

    func note(_ text: String) {
        send(.note, ["text": .string(Self.short(text))])
    }

    /// A text cut so short that it fits into a message, even if JSON takes six times as much for it.
    private static func short(_ text: String) -> String {
        String(decoding: text.utf8.prefix(Limit.noteBytesMax), as: UTF8.self)
    }

    func handedOver(_ table: HandedTable) {
        do {
            for (message, descriptors) in table.messages(Op.ToClient.segments, Op.ToClient.table) {
                try channel.send(message, descriptors)
            }
        } catch {
            cutOff("it can't be handed a table: \(error)")
        }
    }

    func memory(_ status: MemoryStatus) {
        if channel.waitingCount == 0 { send(.memory, encoded: status) }
    }

    /// The run is over.
    func ended(_ report: RunReport) {
        run = nil
        idleSince = MonotonicClock.nanoseconds()
        send(.ended, encoded: ServeMessage.RunEnd(report: report, previews: report.previews))
    }
}
