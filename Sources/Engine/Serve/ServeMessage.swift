import FoundationEssentials
import System

/// The messages between a client and the engine that serves it (`docs/protocol.md`).
enum ServeMessage {
    /// The size, in bytes, from which a payload is a long one.
    static let longBytes = 1 << 20

    /// A payload, for a sealed memory file: a plan or a report may be long.
    static func payload(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        let bytes = [UInt8](try encoder.encode(value))
        guard bytes.count <= Limit.planBytesMax else {
            throw EngineError.protocolBroken("\(bytes.count) bytes of JSON, \(Limit.planBytesMax) are allowed")
        }
        return bytes
    }

    /// The file of a payload, unread.
    static func file(_ message: Datagram, _ descriptors: [DescriptorBox]) throws(Malformed) -> ReceivedFile {
        guard descriptors.count == 1 else { throw Malformed("a message '\(message.op)' without its payload") }
        return try ReceivedFile(descriptors[0], bytesMax: Limit.planBytesMax)
    }

    /// Reads a payload. It takes time in proportion to its size.
    static func value<Value: Decodable>(_ type: Value.Type, _ file: ReceivedFile) throws(Malformed) -> Value {
        let bytes = try file.content()
        if let excess = JSONShape(bytes).excess { throw Malformed("a payload that \(excess)") }
        do {
            let decoder = JSONDecoder()
            decoder.nonConformingFloatDecodingStrategy = .convertFromString(
                positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
            return try decoder.decode(type, from: Data(bytes))
        } catch {
            throw Malformed("a payload that does not read as \(type): \("\(error)".prefix(300))")
        }
    }

    /// A call to run a plan.
    struct Call: Codable, Sendable {
        var plan: Plan
        var options: RunOptions

        /// Reads a call, and checks all facts that the engine relies on.
        static func read(_ file: ReceivedFile) -> Result<Call, EngineError> {
            // What it took to read a long one would stay with this process.
            defer { if file.bytes > ServeMessage.longBytes { Machine.giveBackFreedMemory() } }
            do {
                let call = try ServeMessage.value(Call.self, file)
                try call.plan.check()
                try call.options.check()
                return .success(call)
            } catch let error as EngineError {
                return .failure(error)
            } catch {
                return .failure(.protocolBroken("its client sent \(error)"))
            }
        }
    }

    /// A model's end.
    struct ModelEnd: Codable {
        var model: RunReport.Model
        var failure: String?
    }

    /// A run's end.
    struct RunEnd: Codable {
        var report: RunReport
        var previews: [RunReport.Preview]
    }
}

extension EngineOptions {
    /// The options that a client and its engine must have in common: how workers are isolated, and where memory is born.
    var isolationSettings: String { "sandbox \(isSandboxed), arena \(hasArena), kernelzero \(hasKernelZero)" }
}
