/// A model that had a slot while a run waited for one: in the reports of both runs.
public struct SlotWait: Codable, Sendable, Equatable {
    /// The run that waited.
    public var run: String
    /// The run whose model it is.
    public var holder: String
    /// The model.
    public var model: String
    /// How long it had had its slot.
    public var heldMilliseconds: Double
    /// Whether it used the processor.
    public var usesProcessor: Bool

    enum CodingKeys: String, CodingKey {
        case run, holder, model
        case heldMilliseconds = "held_ms"
        case usesProcessor = "uses_processor"
    }

    /// The same in words.
    var text: String {
        let seconds = Int(heldMilliseconds / 1000)
        return "model '\(model)' of run \(holder) has held one for \(seconds) s"
            + (usesProcessor ? "" : " and doesn't use the processor")
    }
}
