// The container of a descriptor: a header, four tables and the metadata of the messages, as docs/sipc.md lays them out.

/// A shared-memory file that a descriptor's references point into.
public struct SegmentEntry: Sendable, Equatable {
    /// The engine's number for it; 0 is a worker's own output segment.
    public let id: UInt64
    /// The size of the file in bytes.
    public let bytes: UInt64

    /// A segment by its number and size.
    public init(id: UInt64, bytes: UInt64) {
        self.id = id
        self.bytes = bytes
    }
}

/// Where one buffer lies. An empty buffer is nowhere: all three are 0.
public struct Reference: Sendable, Equatable {
    /// Index into the descriptor's segments.
    public let segment: UInt32
    /// The first byte, counted from the start of the file.
    public let offset: UInt64
    /// The length in bytes.
    public let length: UInt64

    static let empty = Reference(segment: 0, offset: 0, length: 0)
}

/// Sizes and places of the container's parts.
public enum Container {
    static let magic = Array("SIPC".utf8) + [0x0d, 0x0a, 0x1a, 0x0a]
    static let version: UInt32 = 1
    static let headerBytes = 64
    static let segmentBytes = 16
    static let messageBytes = 40
    static let referenceBytes = 24
    static let nodeOffsetBytes = 8
    /// Buffers of the contiguous body that the metadata describes are aligned to this.
    public static let alignment = 64
    /// In `messageBytes`: the message has no node offsets.
    static let noNodeOffsets: UInt64 = .max

    static func padding(_ count: Int) -> Int { -count & (alignment - 1) }
}

/// The kind of a message.
enum MessageKind: UInt8 {
    case schema = 1, dictionary, batch
}

/// The node and buffer lists of one dictionary or batch message, in the order of Arrow's specification.
struct Body: Equatable {
    /// Number of slots.
    var length: Int64 = 0
    /// Length and null count of each node, one after the other.
    var nodes: [Int64] = []
    /// Slots that lie in the referenced buffers before the node's first.
    var nodeOffsets: [UInt64] = []
    /// Length of each buffer once the slots before the first are dropped.
    var bufferBytes: [Int64] = []
    /// Number of data buffers of each view node.
    var variadicCounts: [Int64] = []

    var hasNodeOffsets: Bool { nodeOffsets.contains { $0 != 0 } }
}

/// Puts a descriptor together.
struct DescriptorBuilder {
    private var messages: [UInt8] = []
    private var messageCount = 0
    private var metadata: [UInt8] = []
    private var nodeOffsets: [UInt64] = []
    private var referenceCount = 0
    private(set) var rows: UInt64 = 0
    private(set) var batches: UInt64 = 0

    init(_ schema: Schema) {
        var builder = FlatBufferBuilder()
        let table = schema.write(to: &builder)
        append(finish(&builder, .schema, table, bodyBytes: 0), Body())
    }

    /// Adds a record batch.
    ///
    /// - Throws: `SIPCError` of code `malformed` for a number of rows, or lengths of buffers, whose sum no descriptor can hold: they may be
    ///   those of a file that nobody has checked.
    mutating func append(batch body: Body) throws(SIPCError) {
        var builder = FlatBufferBuilder(capacity: 512 + body.nodes.count * 8 + body.bufferBytes.count * 16)
        let (table, bodyBytes) = try Self.recordBatch(body, &builder)
        guard let length = UInt64(exactly: body.length), length <= UInt64(BodyCheck.slotsMax),
            rows + length <= UInt64(BodyCheck.slotsMax)
        else { throw SIPCError(.malformed, "a table has more than 2^61 rows, or a batch of \(body.length)") }
        append(finish(&builder, .batch, table, bodyBytes: bodyBytes), body)
        rows += length
        batches += 1
    }

    /// Adds the dictionary `id`, which replaces an earlier one. Throws as `append(batch:)`.
    mutating func append(dictionary id: Int64, _ body: Body) throws(SIPCError) {
        var builder = FlatBufferBuilder()
        let (data, bodyBytes) = try Self.recordBatch(body, &builder)
        builder.startTable(slots: 3)
        builder.add(0, id)
        builder.add(1, data)
        let table = builder.endTable()
        append(finish(&builder, .dictionary, table, bodyBytes: bodyBytes), body)
    }

    private static func recordBatch(
        _ body: Body, _ builder: inout FlatBufferBuilder
    ) throws(SIPCError) -> (FlatBufferBuilder.Offset, bodyBytes: Int64) {
        var places: [Int64] = []
        places.reserveCapacity(body.bufferBytes.count * 2)
        var bodyBytes: Int64 = 0
        for bytes in body.bufferBytes {
            places.append(bodyBytes)
            places.append(bytes)
            let (end, overflow) = bodyBytes.addingReportingOverflow(bytes)
            guard bytes >= 0, !overflow, end <= Int64(Descriptor.segmentBytesMax) else {
                throw SIPCError(.malformed, "the buffers of a message have more than 2^61 bytes")
            }
            bodyBytes = end + Int64(Container.padding(Int(bytes)))
        }
        let counts = body.variadicCounts.isEmpty ? nil : builder.vector(body.variadicCounts)
        let buffers = builder.vector(places, perElement: 2)
        let nodes = builder.vector(body.nodes, perElement: 2)
        builder.startTable(slots: 5)
        builder.add(0, body.length)
        builder.add(1, nodes)
        builder.add(2, buffers)
        builder.add(4, counts)
        return (builder.endTable(), bodyBytes)
    }

    /// The encapsulated message: continuation, size, FlatBuffers table `Message`, padding.
    private func finish(
        _ builder: inout FlatBufferBuilder, _ kind: MessageKind, _ header: FlatBufferBuilder.Offset, bodyBytes: Int64
    ) -> [UInt8] {
        builder.startTable(slots: 5)
        builder.add(3, bodyBytes)
        builder.add(2, header)
        builder.add(0, Int16(4))
        builder.add(1, kind.rawValue)
        let root = builder.endTable()
        let table = builder.finish(root)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(table.count + 8 + Container.alignment)
        bytes.appendLittle(UInt32.max)
        bytes.appendLittle(UInt32(table.count + Container.padding(table.count + 8)))
        bytes += table
        bytes += repeatElement(0, count: Container.padding(bytes.count))
        return bytes
    }

    private mutating func append(_ message: [UInt8], _ body: Body) {
        messages.appendLittle(UInt64(metadata.count))
        messages.appendLittle(UInt64(message.count))
        messages.appendLittle(UInt64(referenceCount))
        messages.appendLittle(UInt64(body.bufferBytes.count))
        if body.hasNodeOffsets {
            messages.appendLittle(UInt64(nodeOffsets.count))
            nodeOffsets += body.nodeOffsets
        } else {
            messages.appendLittle(Container.noNodeOffsets)
        }
        metadata += message
        messageCount += 1
        referenceCount += body.bufferBytes.count
    }

    /// The descriptor's bytes. `references` holds those of all messages, in their order.
    consuming func finish(segments: [SegmentEntry], references: [Reference]) -> [UInt8] {
        precondition(references.count == referenceCount)
        var bytes = Container.magic
        bytes.reserveCapacity(
            2 * Container.headerBytes + segments.count * Container.segmentBytes + messages.count + metadata.count
                + referenceCount * Container.referenceBytes + nodeOffsets.count * Container.nodeOffsetBytes)
        bytes.appendLittle(Container.version)
        bytes.appendLittle(UInt32(0))
        bytes.appendLittle(rows)
        bytes.appendLittle(UInt64(segments.count))
        bytes.appendLittle(UInt64(messageCount))
        bytes.appendLittle(UInt64(referenceCount))
        bytes.appendLittle(UInt64(nodeOffsets.count))
        bytes.appendLittle(UInt64(metadata.count))
        for segment in segments {
            bytes.appendLittle(segment.id)
            bytes.appendLittle(segment.bytes)
        }
        bytes += messages
        for reference in references {
            bytes.appendLittle(UInt64(reference.segment))
            bytes.appendLittle(reference.offset)
            bytes.appendLittle(reference.length)
        }
        for offset in nodeOffsets { bytes.appendLittle(offset) }
        bytes += repeatElement(0, count: Container.padding(bytes.count))
        bytes += metadata
        return bytes
    }
}
