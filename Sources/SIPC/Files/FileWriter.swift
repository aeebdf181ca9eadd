import System

// Arrow's File.fbs: https://arrow.apache.org/docs/format/Columnar.html#ipc-file-format

/// Where the parts of a table lie when it is written to a file of its own, with the bytes before and after its messages.
///
/// The file is a standard Arrow IPC file, its buffers at multiples of 64. A table whose dictionaries are replaced on the way
/// can't be one, because Arrow's footer has no order of dictionaries and batches: it is a standard Arrow IPC stream in a file.
public struct FileLayout: Sendable {
    /// The format of a file.
    public enum Format: Sendable { case file, stream }

    /// The format of the file.
    public let format: Format
    /// The size of the file in bytes.
    public let bytes: Int
    /// The beginning, with the schema.
    let head: [UInt8]
    /// Where the bodies of the messages begin.
    let bodies: [Int]
    /// The bytes after the last message, with zeros in the place of the checksum that the file may have.
    let tail: [UInt8]
    /// Whether the file has a checksum of its bytes in its footer's metadata.
    let hasChecksum: Bool

    fileprivate static let magic = Array("ARROW1".utf8)

    init(_ descriptor: Descriptor, hasChecksum: Bool) throws(SIPCError) {
        var seen: Set<Int> = []
        let hasReplaced = descriptor.messages.contains { message in
            message.dictionary.map { !seen.insert($0).inserted } ?? false
        }
        let format: Format = hasReplaced ? .stream : .file
        let head = Self.head(descriptor, format)
        var end = head.count
        var bodies: [Int] = []
        var dictionaries: [Int64] = []
        var batches: [Int64] = []
        for message in descriptor.messages {
            let start = end
            let bodyBytes = descriptor.bodyBytes(message)
            let metadataBytes = message.encapsulated.count
            let (sum, overflow) = (end + metadataBytes).addingReportingOverflow(bodyBytes)
            guard !overflow, sum < Int(Descriptor.segmentBytesMax), metadataBytes <= Int(Int32.max) else {
                throw SIPCError(.unsupported, "the table is too large for a file")
            }
            bodies.append(start + metadataBytes)
            let block = [Int64(start), Int64(metadataBytes), Int64(bodyBytes)]
            if message.dictionary == nil { batches += block } else { dictionaries += block }
            end = sum
        }
        self.format = format
        self.head = head
        self.bodies = bodies
        self.hasChecksum = hasChecksum && format == .file
        let footer = { Self.footer(descriptor.schema, dictionaries, batches, hasChecksum: hasChecksum) }
        tail = StreamOutput.end + (format == .file ? footer() : [])
        bytes = end + tail.count
    }

    /// The bytes after the last message, with the checksum in its place; `sum` is that of the bytes before, and the key is added to it.
    func tail(after sum: Checksum, key: String) -> [UInt8] {
        guard hasChecksum, let place = Self.checksumPlace(inFileOf: tail.count) else { return tail }
        var (sum, result) = (sum, tail)
        precondition(result[place].allSatisfy { $0 == 0 }, "the checksum's place is the footer's last string")
        result[..<place.lowerBound].withUnsafeBytes { sum.add($0) }
        result[place.upperBound...].withUnsafeBytes { sum.add($0) }
        sum.add(key)
        result.replaceSubrange(place, with: sum.text)
        return result
    }

    /// Where a file's checksum is. FlatBuffers are made from their ends, and this string of the footer is made first, so that it
    /// is the last one, ended by four zeros. It is the checksum of all bytes before and after it, and of the key that the file is
    /// kept by. Nil for a file that is too short to have one.
    static func checksumPlace(inFileOf bytes: Int) -> Range<Int>? {
        let end = bytes - magic.count - 4 - 4
        return end < Checksum.textBytes ? nil : end - Checksum.textBytes..<end
    }

    /// The magic number and the schema, padded so that the first message begins at a multiple of 64.
    private static func head(_ descriptor: Descriptor, _ format: Format) -> [UInt8] {
        var message = Array(descriptor.bytes[descriptor.schemaMessage])
        if format == .stream { return message }
        let start = magic + [0, 0]
        let padding = Container.padding(start.count + message.count)
        message.storeLittle(UInt32(message.count - 8 + padding), at: 4)
        return start + message + [UInt8](repeating: 0, count: padding)
    }

    private static func footer(
        _ schema: Schema, _ dictionaries: [Int64], _ batches: [Int64], hasChecksum: Bool
    ) -> [UInt8] {
        var builder = FlatBufferBuilder(capacity: 1024 + 8 * (dictionaries.count + batches.count))
        let metadata = hasChecksum ? checksum(&builder) : nil
        let batchBlocks = builder.vector(batches, perElement: 3)
        let dictionaryBlocks = builder.vector(dictionaries, perElement: 3)
        let table = schema.write(to: &builder)
        builder.startTable(slots: 5)
        builder.add(1, table)
        builder.add(2, dictionaryBlocks)
        builder.add(3, batchBlocks)
        builder.add(4, metadata)
        builder.add(0, Int16(4))
        let root = builder.endTable()
        var bytes = builder.finish(root)
        bytes.appendLittle(Int32(bytes.count))
        return bytes + magic
    }

    /// The footer's metadata, with zeros for the checksum.
    private static func checksum(_ builder: inout FlatBufferBuilder) -> FlatBufferBuilder.Offset {
        let value = builder.string([UInt8](repeating: 0, count: Checksum.textBytes))
        let key = builder.string("zerrow:checksum".utf8)
        builder.startTable(slots: 2)
        builder.add(0, key)
        builder.add(1, value)
        return builder.vector([builder.endTable()])
    }
}

extension FileDescriptor {
    /// Whether the file's checksum (`fileLayout`) is there and matches its bytes and a key, which a file that was given the name of
    /// another one's key does not. It reads all of the file: for a thread that may wait.
    ///
    /// - Throws: as reading does.
    public func hasArrowChecksum(key: String) throws(SystemError) -> Bool {
        let bytes = try status().bytes
        let magic = FileLayout.magic
        // What is no such file at all is not read to its end.
        guard let place = FileLayout.checksumPlace(inFileOf: bytes), try self.bytes(0..<magic.count) == magic,
            try self.bytes(bytes - magic.count..<bytes) == magic
        else { return false }
        var sum = Checksum()
        try sum.add(0..<place.lowerBound, of: self)
        try sum.add(place.upperBound..<bytes, of: self)
        sum.add(key)
        return try self.bytes(place) == sum.text
    }
}

/// Bytes that were written as they lie in a segment, and where they are in the file.
public struct Placement: Sendable, Equatable {
    /// The segment that they lie in, by its number.
    public let segment: UInt64
    /// Their range in that segment.
    public let range: Range<Int>
    /// Where the first of them is in the file.
    public let offset: Int

    /// Bytes of a segment, and where they are now.
    public init(segment: UInt64, range: Range<Int>, offset: Int) {
        self.segment = segment
        self.range = range
        self.offset = offset
    }
}

extension Descriptor {
    /// The layout of a file of the table's own. It takes time in proportion to the descriptor, and reads no data.
    ///
    /// - Parameter hasChecksum: whether the file has a checksum that reveals damage (`hasArrowChecksum`); a stream has none.
    /// - Throws: `SIPCError` of code `unsupported` when no file is large enough for it.
    public func fileLayout(hasChecksum: Bool = false) throws(SIPCError) -> FileLayout {
        try FileLayout(self, hasChecksum: hasChecksum)
    }

    /// Writes the table as the standard Arrow IPC file (or stream) that a layout describes.
    ///
    /// - Parameters:
    ///   - layout: the one of this descriptor.
    ///   - segments: at least those that the descriptor names.
    ///   - key: what the file is kept by, if it has a checksum.
    ///   - write: writes some bytes at an offset; called with ascending offsets, without gaps, from 0 on.
    /// - Returns: where the bytes of the segments are now. Bytes that are named several times may be there several times.
    public func writeFile(
        _ layout: FileLayout, _ segments: [MappedSegment], key: String = "",
        _ write: (UnsafeRawBufferPointer, _ offset: Int) throws -> Void
    ) throws -> [Placement] {
        let source = try TableSource(self, segments)
        var placements: [Placement] = []
        placements.reserveCapacity(referenceCount)
        var output = StreamOutput()
        var written = 0
        var sum = Checksum()
        func append(_ bytes: UnsafeRawBufferPointer) throws {
            if layout.hasChecksum { sum.add(bytes) }
            try write(bytes, written)
            written += bytes.count
        }
        try layout.head.withUnsafeBytes { try output.append($0, append) }
        try writeBodies(source, to: &output, append) { reference, content, offset in
            let segment = source.segments[Int(reference.segment)]
            guard let start = content.baseAddress, let base = segment.content.baseAddress else { return }
            let lower = start - base
            placements.append(Placement(segment: segment.id, range: lower..<lower + content.count, offset: offset))
        }
        try output.flush(append)
        try layout.tail(after: sum, key: key).withUnsafeBytes(append)
        precondition(written == layout.bytes, "the layout is that of another table")
        return placements
    }

    /// The table as it lies in the file that `writeFile` has written.
    ///
    /// - Parameter id: the number of the segment that the file is.
    public func described(in layout: FileLayout, id: UInt64) -> [UInt8] {
        var references: [Reference] = []
        references.reserveCapacity(referenceCount)
        for (message, body) in zip(messages, layout.bodies) {
            for index in 0..<message.referenceCount {
                let at = message.buffers + index * 16
                let offset = bytes.loadLittle(at, as: Int64.self)
                let length = bytes.loadLittle(at + 8, as: Int64.self)
                references.append(
                    length == 0
                        ? .empty : Reference(segment: 0, offset: UInt64(body) + UInt64(offset), length: UInt64(length)))
            }
        }
        let isEmpty = references.allSatisfy { $0.length == 0 }
        let segment = SegmentEntry(id: id, bytes: UInt64(layout.bytes))
        return rebuilt(segments: isEmpty ? [] : [segment], references: references, hasNodeOffsets: false)
    }

    /// The same table with some of its buffers in another segment. Nil when none of its buffers has moved.
    ///
    /// - Parameters:
    ///   - new: the segment that they are in now; the descriptor does not name it yet.
    ///   - place: the offset of a buffer there, by the number of its old segment and its reference; nil if the buffer stays.
    public func relocated(to new: SegmentEntry, _ place: (_ segment: UInt64, Reference) -> UInt64?) -> [UInt8]? {
        var references: [Reference] = []
        references.reserveCapacity(referenceCount)
        var isNamed = [Bool](repeating: false, count: segments.count)
        var hasMoved = false
        let newIndex = segments.count
        for index in 0..<referenceCount {
            let old = reference(index)
            if old.length == 0 {
                references.append(old)
            } else if let offset = place(segments[Int(old.segment)].id, old) {
                references.append(Reference(segment: UInt32(newIndex), offset: offset, length: old.length))
                hasMoved = true
            } else {
                references.append(old)
                isNamed[Int(old.segment)] = true
            }
        }
        guard hasMoved else { return nil }
        isNamed.append(true)
        let all = segments + [new]
        var indexes = [UInt32](repeating: 0, count: all.count)
        var kept: [SegmentEntry] = []
        for index in all.indices where isNamed[index] {
            indexes[index] = UInt32(kept.count)
            kept.append(all[index])
        }
        let renumbered = references.map { reference in
            reference.length == 0
                ? reference
                : Reference(
                    segment: indexes[Int(reference.segment)], offset: reference.offset, length: reference.length)
        }
        return rebuilt(segments: kept, references: renumbered, hasNodeOffsets: true)
    }

    /// The size of a message's contiguous body: its metadata was checked to describe one.
    fileprivate func bodyBytes(_ message: MessageView) -> Int {
        guard message.referenceCount > 0 else { return 0 }
        let at = message.buffers + (message.referenceCount - 1) * 16
        let offset = bytes.loadLittle(at, as: Int64.self)
        let length = bytes.loadLittle(at + 8, as: Int64.self)
        return Int(offset + length) + Container.padding(Int(length))
    }

    /// The same messages with other references.
    private func rebuilt(segments: [SegmentEntry], references: [Reference], hasNodeOffsets: Bool) -> [UInt8] {
        let nodeOffsets = hasNodeOffsets ? layout.nodeOffsetCount : 0
        var result = Array(bytes[..<Container.headerBytes])
        result.storeLittle(UInt64(segments.count), at: 24)
        result.storeLittle(UInt64(nodeOffsets), at: 48)
        for segment in segments {
            result.appendLittle(segment.id)
            result.appendLittle(segment.bytes)
        }
        let table = result.count
        result += bytes[layout.messages..<layout.messages + layout.messageCount * Container.messageBytes]
        if !hasNodeOffsets {
            for index in 0..<layout.messageCount {
                result.storeLittle(Container.noNodeOffsets, at: table + index * Container.messageBytes + 32)
            }
        }
        for reference in references {
            result.appendLittle(UInt64(reference.segment))
            result.appendLittle(reference.offset)
            result.appendLittle(reference.length)
        }
        let end = layout.nodeOffsets + nodeOffsets * Container.nodeOffsetBytes
        result += bytes[layout.nodeOffsets..<end]
        result += repeatElement(0, count: Container.padding(result.count))
        return result + bytes[layout.metadata...]
    }
}
