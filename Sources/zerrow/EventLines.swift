import Engine
import FoundationEssentials

/// Prints what happens in a run on standard output, an object of JSON per line, while it lasts: for programs that watch it.
///
/// Each has `event`: `planned`, `started`, `ended`, `printed`, `note`, and last of all `report`, which is what `--output json` prints.
final class EventLines: RunObserver {
    private let observer: any RunObserver
    private let encoder = JSONEncoder()

    /// - Parameter observer: is told the same.
    init(forwarding observer: any RunObserver) {
        self.observer = observer
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
    }

    private struct Event: Encodable {
        let event: String
        var model: String?
        var models: [String]?
        var result: RunReport.Model?
        var failure: String?
        var lines: [String]?
        var text: String?
        var report: RunReport?
    }

    private func show(_ event: Event) {
        guard let data = try? encoder.encode(event) else { preconditionFailure("an event that JSON cannot hold") }
        Output.result(String(decoding: data, as: UTF8.self))
    }

    /// It is over.
    func ended(_ report: RunReport) { show(Event(event: "report", report: report)) }

    func runBegan(_ plan: Plan) {
        show(Event(event: "planned", models: plan.models.map(\.name)))
        observer.runBegan(plan)
    }

    func modelStarted(_ model: String) {
        show(Event(event: "started", model: model))
        observer.modelStarted(model)
    }

    func modelEnded(_ model: RunReport.Model, failure: String?) {
        show(Event(event: "ended", model: model.name, result: model, failure: failure))
        observer.modelEnded(model, failure: failure)
    }

    func printed(_ model: String, lines: [String]) {
        show(Event(event: "printed", model: model, lines: lines))
        observer.printed(model, lines: lines)
    }

    func note(_ text: String) {
        show(Event(event: "note", text: text))
        observer.note(text)
    }

    func memory(_ status: MemoryStatus) { observer.memory(status) }

    func tick() { observer.tick() }

    func noteStop(by signal: Int32) { observer.noteStop(by: signal) }
}
