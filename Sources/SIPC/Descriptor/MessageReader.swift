/// One checked dictionary or batch message: where its parts lie in the descriptor.
struct MessageView: Sendable {
    /// The encapsulated message, ready to be sent.
    let encapsulated: Range<Int>
    /// Index into `Shapes.dictionaries`, or nil for a record batch.
    let dictionary: Int?
    /// Number of slots.
    let length: Int64
    /// Positions of the first node (length, null count), buffer (offset, length) and variadic count.
    let nodes: Int
    let buffers: Int
    let variadicCounts: Int
    let firstReference: Int
    let referenceCount: Int
    let firstNodeOffset: Int?
}

/// Reads the messages of a container one after the other, and checks that they use up its tables exactly.
struct MessageReader {
    private let bytes: [UInt8]
    private let layout: ContainerLayout
    private var index = 0
    private var metadataUsed = 0
    private var referencesUsed = 0
    private var nodeOffsetsUsed = 0

    init(_ bytes: [UInt8], _ layout: ContainerLayout) {
        self.bytes = bytes
        self.layout = layout
    }

    private struct Entry {
        let encapsulated: Range<Int>
        let table: FlatTable
        let kind: MessageKind
        let bodyBytes: Int64
        let firstReference: Int
        let referenceCount: Int
        let firstNodeOffset: Int?
    }

    private mutating func next() throws(SIPCError) -> Entry {
        let at = layout.messages + index * Container.messageBytes
        let offset = bytes.loadLittle(at, as: UInt64.self)
        let size = bytes.loadLittle(at + 8, as: UInt64.self)
        let firstReference = bytes.loadLittle(at + 16, as: UInt64.self)
        let referenceCount = bytes.loadLittle(at + 24, as: UInt64.self)
        let firstNodeOffset = bytes.loadLittle(at + 32, as: UInt64.self)
        let metadataLeft = bytes.count - layout.metadata - metadataUsed
        guard offset == UInt64(metadataUsed), size >= 16, size <= UInt64(metadataLeft),
            size % UInt64(Container.alignment) == 0
        else { throw .malformed("message \(index) is not where the one before it ends, or not aligned") }
        guard firstReference == UInt64(referencesUsed),
            referenceCount <= UInt64(layout.referenceCount - referencesUsed)
        else { throw .malformed("the references of message \(index) do not follow those before it") }
        let hasNodeOffsets = firstNodeOffset != Container.noNodeOffsets
        guard !hasNodeOffsets || firstNodeOffset == UInt64(nodeOffsetsUsed) else {
            throw .malformed("the node offsets of message \(index) do not follow those before it")
        }
        let start = layout.metadata + metadataUsed
        guard bytes.loadLittle(start, as: UInt32.self) == .max,
            UInt64(bytes.loadLittle(start + 4, as: UInt32.self)) == size - 8
        else { throw .malformed("message \(index) does not begin with its size") }
        index += 1
        metadataUsed += Int(size)
        referencesUsed += Int(referenceCount)

        let message = try FlatBuffer(bytes, (start + 8)..<(start + Int(size))).root()
        guard try message.scalar(0, default: Int16(0)) == 4 else {
            throw SIPCError(.unsupported, "message \(index - 1) is not of Arrow metadata version 5")
        }
        guard let kind = MessageKind(rawValue: try message.scalar(1, default: UInt8(0))),
            let table = try message.table(2)
        else { throw .malformed("message \(index - 1) is neither schema nor dictionary nor record batch") }
        return Entry(
            encapsulated: start..<(start + Int(size)), table: table, kind: kind,
            bodyBytes: try message.scalar(3, default: Int64(0)), firstReference: Int(firstReference),
            referenceCount: Int(referenceCount), firstNodeOffset: hasNodeOffsets ? nodeOffsetsUsed : nil)
    }

    /// Reads the first message.
    mutating func schema() throws(SIPCError) -> (Schema, Range<Int>) {
        guard layout.messageCount > 0 else { throw .malformed("it has no schema") }
        let entry = try next()
        guard entry.kind == .schema, entry.bodyBytes == 0, entry.referenceCount == 0, entry.firstNodeOffset == nil
        else {
            throw .malformed("its first message is not a schema")
        }
        return (try Schema(reading: entry.table), entry.encapsulated)
    }

    /// Reads all other messages.
    mutating func bodies(_ shapes: Shapes) throws(SIPCError) -> [MessageView] {
        var indexes: [Int64: Int] = [:]
        for (index, dictionary) in shapes.dictionaries.enumerated() {
            guard indexes.updateValue(index, forKey: dictionary.id) == nil else {
                throw SIPCError(.unsupported, "two fields of the table share dictionary \(dictionary.id)")
            }
        }
        var missing = Set(shapes.dictionaries.indices)
        var views: [MessageView] = []
        views.reserveCapacity(layout.messageCount - 1)
        while index < layout.messageCount {
            let entry = try next()
            var data = entry.table
            var dictionary: Int?
            switch entry.kind {
            case .schema: throw .malformed("message \(index - 1) is a second schema")
            case .dictionary:
                let id = try data.scalar(0, default: Int64(0))
                guard let known = indexes[id], let values = try data.table(1), try !data.bool(2) else {
                    throw .malformed("message \(index - 1) is a delta, or a dictionary \(id) that no field has")
                }
                dictionary = known
                missing.remove(known)
                data = values
            case .batch:
                guard missing.isEmpty else {
                    throw .malformed("message \(index - 1) is a record batch before all dictionaries are there")
                }
            }
            let nodes = dictionary.map { shapes.dictionaries[$0].nodes } ?? shapes.nodes
            views.append(try view(entry, data, dictionary, nodes))
        }
        guard metadataUsed == bytes.count - layout.metadata, referencesUsed == layout.referenceCount,
            nodeOffsetsUsed == layout.nodeOffsetCount
        else { throw .malformed("its tables hold more than its messages use") }
        return views
    }

    private mutating func view(
        _ entry: Entry, _ data: FlatTable, _ dictionary: Int?, _ shapes: [Shape]
    ) throws(SIPCError) -> MessageView {
        let label = index - 1
        guard try data.table(3) == nil else { throw SIPCError(.unsupported, "message \(label) has a compressed body") }
        guard let nodes = try data.vector(1, elementBytes: 16), let buffers = try data.vector(2, elementBytes: 16)
        else {
            throw .malformed("message \(label) lists no nodes or no buffers")
        }
        let counts = try data.vector(4, elementBytes: 8)
        guard nodes.count == shapes.count, buffers.count == entry.referenceCount else {
            throw .malformed(
                "message \(label) has \(nodes.count) nodes and \(buffers.count) buffers for \(shapes.count) nodes "
                    + "and \(entry.referenceCount) references")
        }
        if entry.firstNodeOffset != nil {
            guard nodes.count <= layout.nodeOffsetCount - nodeOffsetsUsed else {
                throw .malformed("message \(label) has fewer node offsets than nodes")
            }
            nodeOffsetsUsed += nodes.count
        }
        let view = MessageView(
            encapsulated: entry.encapsulated, dictionary: dictionary, length: try data.scalar(0, default: 0),
            nodes: nodes.start, buffers: buffers.start, variadicCounts: counts?.start ?? 0,
            firstReference: entry.firstReference, referenceCount: entry.referenceCount,
            firstNodeOffset: entry.firstNodeOffset)
        var check = BodyCheck(bytes, layout, view, label: label, variadicCount: counts?.count ?? 0)
        try check.run(shapes, bodyBytes: entry.bodyBytes)
        return view
    }
}
