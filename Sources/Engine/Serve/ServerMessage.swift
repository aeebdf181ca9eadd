import System

/// A message of an engine that serves to a client, read in this one place.
enum ServerMessage {
    /// The engine does not run the plan; the text says why, in words that follow "it".
    case refused(String)
    /// The run has begun.
    case began
    /// A model's worker was asked for.
    case modelStarted(String)
    /// A model has its final status.
    case modelEnded(ServeMessage.ModelEnd)
    /// Lines that a model printed.
    case printed(model: String, lines: [String])
    /// What is held now.
    case memory(MemoryStatus)
    /// A message for the user.
    case note(String)
    /// The run is over.
    case ended(ServeMessage.RunEnd)

    /// Reads a message, with the descriptors that came beside it.
    init(_ message: Datagram, _ descriptors: [DescriptorBox]) throws(Malformed) {
        func payload<Value: Decodable>(_ type: Value.Type) throws(Malformed) -> Value {
            try ServeMessage.value(type, try ServeMessage.file(message, descriptors))
        }
        let model = message.body["model"]?.string ?? ""
        switch Op.ToClient(rawValue: message.op) {
        case .refused: self = .refused(message.body["message"]?.text ?? "gave no reason")
        case .began: self = .began
        case .modelStarted: self = .modelStarted(model)
        case .modelEnded: self = .modelEnded(try payload(ServeMessage.ModelEnd.self))
        case .printed: self = .printed(model: model, lines: message.body["lines"]?.array?.map { $0.string ?? "" } ?? [])
        case .memory: self = .memory(try payload(MemoryStatus.self))
        case .note: self = .note(message.body["text"]?.string ?? "")
        case .ended: self = .ended(try payload(ServeMessage.RunEnd.self))
        case nil: throw .unknown(message.op)
        }
    }
}
