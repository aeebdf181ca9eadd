import Store
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
    /// Segments of tables that come next.
    case segments([SegmentID: DescriptorBox])
    /// A final table; its segments came before.
    case table(model: String, rows: Int64, segments: [SegmentID], DescriptorBox)
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
        case .segments:
            let ids = (message.body["ids"]?.array ?? []).compactMap { $0.integer.flatMap { UInt64(exactly: $0) } }
            guard ids.count == descriptors.count else { throw Malformed("segments without their files") }
            let files = zip(ids.map { SegmentID(rawValue: $0) }, descriptors)
            self = .segments(Dictionary(files, uniquingKeysWith: { $1 }))
        case .table:
            guard descriptors.count == 1 else { throw Malformed("a table without its descriptor") }
            let rows = message.body["rows"]?.integer ?? 0
            let ids = (message.body["segments"]?.array ?? []).compactMap { $0.integer.flatMap { UInt64(exactly: $0) } }
            self = .table(model: model, rows: rows, segments: ids.map { SegmentID(rawValue: $0) }, descriptors[0])
        case .note: self = .note(message.body["text"]?.string ?? "")
        case .ended: self = .ended(try payload(ServeMessage.RunEnd.self))
        case nil: throw .unknown(message.op)
        }
    }
}
