import System

/// A SIPC descriptor whose structure has been checked.
///
/// It may come from a hostile process: making one reads nothing but the bytes given, never traps, and costs time in
/// proportion to their number. What is checked, and what is not, stands in docs/sipc.md.
public struct Descriptor: Sendable {
    /// The descriptor as it is stored and sent.
    public let bytes: [UInt8]
    /// The segments that the references point into.
    public let segments: [SegmentEntry]
    /// The columns.
    public let schema: Schema
    /// Number of rows of the table.
    public let rows: UInt64
    /// Number of record batches.
    public let batches: Int
    /// Number of references.
    public let referenceCount: Int

    /// The greatest size of a segment, so that offsets and lengths fit a signed number.
    static let segmentBytesMax: UInt64 = 1 << 61

    let shapes: Shapes
    /// The encapsulated schema message, ready to be sent.
    let schemaMessage: Range<Int>
    let messages: [MessageView]
    let layout: ContainerLayout

    /// Checks a descriptor and takes it apart.
    ///
    /// - Throws: `SIPCError` of code `malformed` or `unsupported`.
    public init(_ bytes: [UInt8]) throws(SIPCError) {
        let layout = try ContainerLayout(bytes)
        self.bytes = bytes
        self.layout = layout
        segments = (0..<layout.segmentCount).map {
            let at = layout.segments + $0 * Container.segmentBytes
            return SegmentEntry(
                id: bytes.loadLittle(at, as: UInt64.self), bytes: bytes.loadLittle(at + 8, as: UInt64.self))
        }
        referenceCount = layout.referenceCount
        try Self.checkReferences(bytes, layout, segments)

        var reader = MessageReader(bytes, layout)
        (schema, schemaMessage) = try reader.schema()
        shapes = Shapes(schema)
        messages = try reader.bodies(shapes)
        var batches = 0
        var rows: UInt64 = 0
        for message in messages where message.dictionary == nil {
            batches += 1
            rows += UInt64(message.length)
            guard rows <= UInt64(BodyCheck.slotsMax) else { throw .malformed("it has more than 2^61 rows") }
        }
        guard rows == layout.rows else {
            throw .malformed("its header says \(layout.rows) rows, its batches have \(rows)")
        }
        self.rows = rows
        self.batches = batches
    }

    private static func checkReferences(
        _ bytes: [UInt8], _ layout: ContainerLayout, _ segments: [SegmentEntry]
    ) throws(SIPCError) {
        for segment in segments where segment.bytes > segmentBytesMax {
            throw .malformed("segment \(segment.id) has \(segment.bytes) bytes")
        }
        for index in 0..<layout.referenceCount {
            let at = layout.references + index * Container.referenceBytes
            let segment = bytes.loadLittle(at, as: UInt64.self)
            let offset = bytes.loadLittle(at + 8, as: UInt64.self)
            let length = bytes.loadLittle(at + 16, as: UInt64.self)
            if length == 0 {
                guard segment == 0, offset == 0 else { throw .malformed("empty reference \(index) names a place") }
                continue
            }
            guard segment < UInt64(segments.count) else {
                throw .malformed("reference \(index) names segment \(segment) of \(segments.count)")
            }
            let size = segments[Int(segment)].bytes
            guard length <= size, offset <= size - length else {
                throw .malformed(
                    "reference \(index), \(length) bytes at \(offset), leaves its segment of \(size) bytes")
            }
        }
    }

    /// Names and types of the columns, as people read them.
    public var columns: [(name: String, type: String)] { schema.fields.map { ($0.name, $0.typeName) } }

    /// Reference number `index`, counted through all messages.
    public func reference(_ index: Int) -> Reference {
        let at = layout.references + index * Container.referenceBytes
        return Reference(
            segment: UInt32(bytes.loadLittle(at, as: UInt64.self)), offset: bytes.loadLittle(at + 8, as: UInt64.self),
            length: bytes.loadLittle(at + 16, as: UInt64.self))
    }

    /// Calls `body` with every reference that is not empty, in the order of the messages. A buffer that is used twice
    /// is named twice.
    public func forEachReference(_ body: (Reference) -> Void) {
        for index in 0..<referenceCount {
            let reference = reference(index)
            if reference.length > 0 { body(reference) }
        }
    }

    /// The same table with other ids for its segments, in their order. Nothing else changes.
    ///
    /// Traps unless there is one id per segment.
    public func renumbered(_ ids: [UInt64]) -> [UInt8] {
        precondition(ids.count == segments.count, "one id per segment")
        var copy = bytes
        for (index, id) in ids.enumerated() {
            copy.storeLittle(id, at: layout.segments + index * Container.segmentBytes)
        }
        return copy
    }

    /// What has to be written where, in a file with a descriptor, to give its segments other ids. Nil where what it begins with is no header
    /// of one; whether the rest is right, it doesn't look at.
    ///
    /// - Parameter beginning: reads so many bytes from the beginning, or all that there are.
    public static func renumbering(
        _ beginning: (Int) throws(SystemError) -> [UInt8], _ id: (UInt64) -> UInt64
    ) throws(SystemError) -> (at: Int, [UInt8])? {
        let header = try beginning(Container.headerBytes)
        guard header.count == Container.headerBytes, header.starts(with: Container.magic) else { return nil }
        let count = header.loadLittle(24, as: UInt64.self)
        guard count <= UInt64(segmentsMax) else { return nil }
        let end = Container.headerBytes + Int(count) * Container.segmentBytes
        var table = try beginning(end)
        guard table.count == end else { return nil }
        for at in stride(from: Container.headerBytes, to: end, by: Container.segmentBytes) {
            table.storeLittle(id(table.loadLittle(at, as: UInt64.self)), at: at)
        }
        return (Container.headerBytes, Array(table[Container.headerBytes...]))
    }

    /// No table names more.
    private static let segmentsMax = 1 << 24

    /// The same table with the buffers of one segment elsewhere: in `new`, each where `place` says. Nil when it names no place
    /// for one.
    ///
    /// - Parameter id: the segment that the buffers leave; a descriptor that does not have it stays as it is.
    public func rebased(_ id: UInt64, to new: SegmentEntry, _ place: (Reference) -> UInt64?) -> [UInt8]? {
        var copy = bytes
        for index in segments.indices where segments[index].id == id {
            let at = layout.segments + index * Container.segmentBytes
            copy.storeLittle(new.id, at: at)
            copy.storeLittle(new.bytes, at: at + 8)
        }
        for index in 0..<referenceCount {
            let reference = reference(index)
            guard reference.length > 0, segments[Int(reference.segment)].id == id else { continue }
            guard let offset = place(reference) else { return nil }
            copy.storeLittle(offset, at: layout.references + index * Container.referenceBytes + 8)
        }
        return copy
    }

    func nodeOffset(_ message: MessageView, _ node: Int) -> UInt64 {
        guard let first = message.firstNodeOffset else { return 0 }
        return bytes.loadLittle(layout.nodeOffsets + (first + node) * 8, as: UInt64.self)
    }
}

/// Where the parts of a container lie, checked against its size.
struct ContainerLayout: Sendable {
    let rows: UInt64
    let segmentCount: Int
    let messageCount: Int
    let referenceCount: Int
    let nodeOffsetCount: Int
    let segments: Int
    let messages: Int
    let references: Int
    let nodeOffsets: Int
    let metadata: Int

    init(_ bytes: [UInt8]) throws(SIPCError) {
        guard bytes.count >= Container.headerBytes, bytes.starts(with: Container.magic) else {
            throw .malformed("it does not begin with the header of SIPC")
        }
        let version = bytes.loadLittle(8, as: UInt32.self)
        guard version == Container.version else {
            throw SIPCError(
                .unsupported, "the SIPC descriptor has version \(version), this build reads \(Container.version)")
        }
        guard bytes.loadLittle(12, as: UInt32.self) == 0 else {
            throw SIPCError(.unsupported, "the SIPC descriptor has flags this build does not know")
        }
        rows = bytes.loadLittle(16, as: UInt64.self)
        var end = Container.headerBytes
        func take(_ field: Int, _ elementBytes: Int) throws(SIPCError) -> (Int, Int) {
            let count = bytes.loadLittle(field, as: UInt64.self)
            guard count <= UInt64((bytes.count - end) / elementBytes) else {
                throw .malformed("a table of \(count) entries runs past its end")
            }
            defer { end += Int(count) * elementBytes }
            return (end, Int(count))
        }
        (segments, segmentCount) = try take(24, Container.segmentBytes)
        (messages, messageCount) = try take(32, Container.messageBytes)
        (references, referenceCount) = try take(40, Container.referenceBytes)
        (nodeOffsets, nodeOffsetCount) = try take(48, Container.nodeOffsetBytes)
        metadata = end + Container.padding(end)
        guard metadata <= bytes.count, UInt64(bytes.count - metadata) == bytes.loadLittle(56, as: UInt64.self) else {
            throw .malformed("its metadata does not end where the descriptor does")
        }
    }
}
