import FoundationEssentials
import System

/// The messages between a client and the engine that serves it (`docs/protocol.md`).
enum ServeMessage {
    /// A payload travels in a sealed memory file: a plan or a report may be long.
    static func payload(_ value: some Encodable) throws -> DescriptorBox {
        let data = try JSONEncoder().encode(value)
        return DescriptorBox(try FileDescriptor.sealedMemory(named: "payload", Array(data)))
    }

    /// The most bytes of a payload.
    static let payloadBytesMax = 1 << 30

    /// Reads a payload. Throws if it is no such value, or too long.
    static func value<Value: Decodable>(_ type: Value.Type, _ descriptors: [DescriptorBox]) throws -> Value {
        guard descriptors.count == 1 else { throw EngineError.protocolBroken("a message lacks its payload") }
        let bytes = try descriptors[0].descriptor.status().bytes
        guard bytes <= payloadBytesMax else {
            throw EngineError.protocolBroken("a payload has \(bytes) bytes, \(payloadBytesMax) are allowed")
        }
        return try JSONDecoder().decode(type, from: Data(try descriptors[0].descriptor.bytes(0..<bytes)))
    }

    /// A call to run a plan.
    struct Call: Codable {
        var plan: Plan
        var options: RunOptions
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
    var manner: String { "sandbox \(isSandboxed), arena \(hasArena), kernelzero \(hasKernelZero)" }
}
