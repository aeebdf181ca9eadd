// Arrow's File.fbs: https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format

extension Descriptor {
    /// Describes an uncompressed Arrow IPC file: its references point to the file's own bytes.
    ///
    /// Metadata that belongs to the file and not to its schema is left out.
    ///
    /// - Throws: `SIPCError`; of code `unsupported` for compressed bodies, delta dictionaries and big-endian data.
    public init(arrowFile file: MappedSegment) throws(SIPCError) {
        let reader = try ArrowFile(file)
        try self.init(try reader.descriptor())
    }
}

/// An Arrow IPC file that nobody has checked.
private struct ArrowFile {
    private static let magic = Array("ARROW1".utf8)

    private let file: MappedSegment
    private let footer: FlatTable

    init(_ file: MappedSegment) throws(SIPCError) {
        self.file = file
        let magic = Self.magic
        let size = file.bytes
        guard size >= 2 * magic.count + 6, file.content.starts(with: magic),
            file.content[(size - magic.count)...].elementsEqual(magic)
        else { throw Self.fault("it does not begin and end as an Arrow IPC file does") }
        let end = size - magic.count - 4
        let footerBytes = Int(file.content.loadUnaligned(fromByteOffset: end, as: Int32.self))
        guard footerBytes > 0, footerBytes <= end - magic.count - 2 else {
            throw Self.fault("its footer would have \(footerBytes) bytes")
        }
        let bytes = Array(file.content[(end - footerBytes)..<end])
        footer = try FlatBuffer(bytes, 0..<bytes.count).root()
    }

    private static func fault(_ what: String) -> SIPCError { SIPCError(.malformed, "bad Arrow IPC file: " + what) }

    func descriptor() throws(SIPCError) -> [UInt8] {
        let version = try footer.scalar(0, default: Int16(0))
        guard version == 4 || version == 3 else {
            throw SIPCError(
                .unsupported, "the Arrow IPC file has metadata of version \(Int(version) + 1), 4 and 5 are read")
        }
        guard let table = try footer.table(1) else { throw Self.fault("its footer has no schema") }
        let schema = try Schema(reading: table)
        let shapes = Shapes(schema)
        let allNodes = shapes.nodes + shapes.dictionaries.flatMap(\.nodes)
        guard version == 4 || !allNodes.contains(where: { $0.layout == .sparseUnion || $0.layout == .denseUnion })
        else {
            throw SIPCError(.unsupported, "the Arrow IPC file has unions in the layout of metadata version 4")
        }
        var builder = DescriptorBuilder(schema)
        var references: [Reference] = []
        for block in try blocks(2) {
            let message = try read(block, .dictionary)
            guard try !message.header.bool(2) else {
                throw SIPCError(.unsupported, "the Arrow IPC file has delta dictionaries: write it without")
            }
            guard let data = try message.header.table(1) else { throw Self.fault("a dictionary has no data") }
            try builder.append(
                dictionary: try message.header.scalar(0, default: Int64(0)), try body(data, message.body, &references))
        }
        for block in try blocks(3) {
            let message = try read(block, .batch)
            try builder.append(batch: try body(message.header, message.body, &references))
        }
        // A table without any bytes names no segment: nobody is lent one for it.
        let isEmpty = references.allSatisfy { $0.length == 0 }
        let segment = SegmentEntry(id: file.id, bytes: UInt64(file.bytes))
        return builder.finish(segments: isEmpty ? [] : [segment], references: references)
    }

    /// Where a message lies in the file.
    private struct Block {
        let metadata: Range<Int>
        let body: Range<Int>
    }

    private func blocks(_ slot: Int) throws(SIPCError) -> [Block] {
        guard let vector = try footer.vector(slot, elementBytes: 24) else { return [] }
        var blocks: [Block] = []
        // Blocks of a file lie one beside the other: a few bytes that are named over and over must not make a large descriptor.
        var bytesLeft = Int64(file.bytes)
        for index in 0..<vector.count {
            let at = vector.start + index * 24
            let offset = try vector.buffer.load(at, as: Int64.self)
            let metadataBytes = Int64(try vector.buffer.load(at + 8, as: Int32.self))
            let bodyBytes = try vector.buffer.load(at + 16, as: Int64.self)
            let size = Int64(file.bytes)
            guard offset >= 0, metadataBytes >= 8, bodyBytes >= 0, offset <= size, metadataBytes <= size - offset,
                bodyBytes <= size - offset - metadataBytes
            else { throw Self.fault("block \(index) of its footer lies outside the file") }
            bytesLeft -= metadataBytes + bodyBytes
            guard bytesLeft >= 0 else { throw Self.fault("the blocks of its footer have more bytes than the file") }
            let middle = Int(offset + metadataBytes)
            blocks.append(Block(metadata: Int(offset)..<middle, body: middle..<(middle + Int(bodyBytes))))
        }
        return blocks
    }

    private func read(_ block: Block, _ kind: MessageKind) throws(SIPCError) -> (header: FlatTable, body: Range<Int>) {
        let bytes = Array(file.content[block.metadata])
        // Files from before Arrow 0.15 have the size without the mark before it.
        let start = bytes.loadLittle(0, as: UInt32.self) == .max ? 8 : 4
        let message = try FlatBuffer(bytes, start..<bytes.count).root()
        guard try message.scalar(1, default: UInt8(0)) == kind.rawValue, let header = try message.table(2) else {
            throw Self.fault("a block of its footer is another kind of message")
        }
        let bodyBytes = try message.scalar(3, default: Int64(0))
        guard bodyBytes >= 0, bodyBytes <= Int64(block.body.count) else {
            throw Self.fault("a message has a body of \(bodyBytes) bytes, its block \(block.body.count)")
        }
        return (header, block.body)
    }

    private func body(
        _ data: FlatTable, _ place: Range<Int>, _ references: inout [Reference]
    ) throws(SIPCError) -> Body {
        guard try data.table(3) == nil else {
            throw SIPCError(.unsupported, "the Arrow IPC file is compressed: write it with compression=None")
        }
        guard let nodes = try data.vector(1, elementBytes: 16), let buffers = try data.vector(2, elementBytes: 16)
        else {
            throw Self.fault("a message lists no nodes or no buffers")
        }
        var body = Body()
        body.length = try data.scalar(0, default: Int64(0))
        guard body.length >= 0 else { throw Self.fault("a batch has \(body.length) rows") }
        for at in stride(from: nodes.start, to: nodes.range.upperBound, by: 8) {
            body.nodes.append(nodes.buffer.bytes.loadLittle(at, as: Int64.self))
        }
        for index in 0..<buffers.count {
            let offset = try buffers.buffer.load(buffers.start + index * 16, as: Int64.self)
            let length = try buffers.buffer.load(buffers.start + index * 16 + 8, as: Int64.self)
            guard offset >= 0, length >= 0, offset <= Int64(place.count), length <= Int64(place.count) - offset else {
                throw Self.fault("buffer \(index) of a message, \(length) bytes at \(offset), leaves its body")
            }
            references.append(
                length == 0
                    ? .empty
                    : Reference(segment: 0, offset: UInt64(place.lowerBound) + UInt64(offset), length: UInt64(length)))
            body.bufferBytes.append(length)
        }
        if let counts = try data.vector(4, elementBytes: 8) {
            for index in 0..<counts.count { body.variadicCounts.append(try counts.load(index, as: Int64.self)) }
        }
        return body
    }
}
