import System

extension Descriptor {
    /// Writes the table as a standard Arrow IPC stream to where `file` stands.
    ///
    /// Bytes that no row names are left out (`trimmed`). The messages' metadata is then sent as it is, with the referenced bytes.
    /// Only buffers of arrays that begin in the middle of a byte, and the run ends of a slice, are made anew.
    ///
    /// - Parameter segments: at least those that the descriptor names.
    public func writeStream(_ segments: [MappedSegment], to file: borrowing FileDescriptor) throws {
        let table = try trimmed(segments)
        var output = StreamOutput()
        try table.descriptor.writeAll(table.segments, to: &output) { try file.writeAll($0) }
    }

    /// Writes the table as a standard Arrow IPC stream piece by piece, as `writeStream(_:to:)` does; an error of `write` ends it.
    public func writeStream(_ segments: [MappedSegment], _ write: (UnsafeRawBufferPointer) throws -> Void) throws {
        let table = try trimmed(segments)
        var output = StreamOutput()
        try table.descriptor.writeAll(table.segments, to: &output, write)
    }

    private func writeAll(
        _ segments: [MappedSegment], to output: inout StreamOutput, _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let source = try TableSource(self, segments)
        try bytes.withUnsafeBytes { try output.append(UnsafeRawBufferPointer(rebasing: $0[schemaMessage]), write) }
        try writeBodies(source, to: &output, write) { _, _, _ in }
        try StreamOutput.end.withUnsafeBytes { try output.append($0, write) }
        try output.flush(write)
    }

    /// Writes all messages but the schema's, each followed by its body.
    ///
    /// - Parameter lies: called for each buffer that is written as it lies in a segment: with the reference that it is a part of,
    ///   its bytes, and their offset in the output.
    func writeBodies(
        _ source: TableSource, to output: inout StreamOutput, _ write: (UnsafeRawBufferPointer) throws -> Void,
        lies: (Reference, UnsafeRawBufferPointer, Int) -> Void
    ) throws {
        for message in messages {
            var body = BodyPart(source, message)
            try bytes.withUnsafeBytes {
                try output.append(UnsafeRawBufferPointer(rebasing: $0[message.encapsulated]), write)
            }
            var index = message.firstReference
            while let piece = body.next() {
                switch piece {
                case .content(let content):
                    if !content.isEmpty { lies(reference(index), content, output.count) }
                    try output.append(content, write)
                    output.pad(content.count)
                case .made(let bytes):
                    try bytes.withUnsafeBytes { try output.append($0, write) }
                    output.pad(bytes.count)
                }
                index += 1
            }
        }
    }
}

/// Puts small pieces together, so that ten thousand columns are not as many system calls.
struct StreamOutput {
    /// The mark that ends a stream of messages.
    static let end: [UInt8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]

    private static let pieceBytesMax = 32 * 1024
    private static let pendingBytesMax = 1 << 20
    private var pending: [UInt8] = []
    /// How many bytes it was given.
    private(set) var count = 0

    mutating func append(
        _ bytes: UnsafeRawBufferPointer, _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        count += bytes.count
        if bytes.count <= Self.pieceBytesMax {
            pending += bytes
            if pending.count > Self.pendingBytesMax { try flush(write) }
        } else {
            try flush(write)
            try write(bytes)
        }
    }

    mutating func pad(_ bytes: Int) {
        count += Container.padding(bytes)
        pending += repeatElement(0, count: Container.padding(bytes))
    }

    mutating func flush(_ write: (UnsafeRawBufferPointer) throws -> Void) throws {
        if !pending.isEmpty { try pending.withUnsafeBytes { try write($0) } }
        pending.removeAll(keepingCapacity: true)
    }
}

/// The buffers of a message's contiguous body, one after the other.
struct BodyPart {
    /// The bytes of one buffer.
    enum Piece {
        /// As they lie in a segment.
        case content(UnsafeRawBufferPointer)
        /// Made anew.
        case made([UInt8])
    }

    /// How the slots before a node's first are cut off a buffer.
    private enum Cut {
        case none
        case bits(Int, count: Int)
        case bytes(Int)
        case runs(width: Int, skipped: Int, logicalStart: Int64, length: Int64)
    }

    private let source: TableSource
    private let message: MessageView
    private let shapes: [Shape]
    private var cuts: [Cut] = []
    private var node = 0
    private var buffer = 0
    private var variadic = 0
    /// When the next node holds run ends: where the slots they encode begin, and how many there are.
    private var runs: (logicalStart: Int64, length: Int64)?

    init(_ source: TableSource, _ message: MessageView) {
        self.source = source
        self.message = message
        let all = source.descriptor.shapes
        shapes = message.dictionary.map { all.dictionaries[$0].nodes } ?? all.nodes
    }

    mutating func next() -> Piece? {
        while cuts.isEmpty {
            guard node < shapes.count else { return nil }
            cuts = nextCuts().reversed()
        }
        defer { buffer += 1 }
        let content = source.content(source.descriptor.reference(message.firstReference + buffer))
        let bytes = source.descriptor.bytes
        let length = Int(bytes.loadLittle(message.buffers + buffer * 16 + 8, as: Int64.self))
        let cut = cuts.removeLast()
        if content.isEmpty { return .content(content) }
        switch cut {
        case .none: return .content(content)
        case .bytes(let skipped):
            return .content(UnsafeRawBufferPointer(rebasing: content[skipped..<(skipped + length)]))
        case .bits(let skipped, let count):
            if skipped & 7 == 0 {
                return .content(UnsafeRawBufferPointer(rebasing: content[(skipped / 8)..<(skipped / 8 + length)]))
            }
            return .made(Bitmap.realigned(content, from: skipped, count: count))
        case .runs(let width, let skipped, let start, let slots):
            let ends = UnsafeRawBufferPointer(rebasing: content[(skipped * width)..<(skipped * width + length)])
            return Self.runEnds(ends, width, start: start, slots: slots)
        }
    }

    /// How the buffers of the next node are cut; most nodes have nothing to drop.
    private mutating func nextCuts() -> [Cut] {
        let shape = shapes[node]
        let skipped = Int(source.descriptor.nodeOffset(message, node))
        let length = source.descriptor.bytes.loadLittle(message.nodes + node * 16, as: Int64.self)
        let parent = runs
        runs = shape.layout == .runEnd ? (Int64(skipped), length) : nil
        node += 1
        let bits: Cut = skipped == 0 ? .none : .bits(skipped, count: Int(length))
        var cuts: [Cut] = shape.layout.hasValidity ? [bits] : []
        func slots(_ width: Int) -> Cut { skipped == 0 ? .none : .bytes(skipped * width) }
        switch shape.layout {
        case .null, .fixedSizeList, .structure, .runEnd: break
        case .bits: cuts.append(bits)
        case .fixed(let width):
            if let parent {
                cuts.append(
                    .runs(width: width, skipped: skipped, logicalStart: parent.logicalStart, length: parent.length))
            } else {
                cuts.append(slots(width))
            }
        case .variable(let width): cuts += [slots(width), .none]
        case .view:
            cuts.append(slots(16))
            let at = message.variadicCounts + variadic * 8
            cuts += Array(repeating: Cut.none, count: Int(source.descriptor.bytes.loadLittle(at, as: Int64.self)))
            variadic += 1
        case .list(let width): cuts.append(slots(width))
        case .listView(let width): cuts += [slots(width), slots(width)]
        case .sparseUnion: cuts.append(slots(1))
        case .denseUnion: cuts += [slots(1), slots(4)]
        }
        return cuts
    }

    /// Run ends counted from `start`, none past `slots`; as they are when that changes nothing.
    private static func runEnds(
        _ content: UnsafeRawBufferPointer, _ width: Int, start: Int64, slots: Int64
    ) -> Piece {
        func moved<T: FixedWidthInteger>(_ type: T.Type) -> Piece {
            func end(_ at: Int) -> Int64 { Int64(content.loadUnaligned(fromByteOffset: at, as: type)) }
            // A buffer may be longer than its runs, by less than one of them, too.
            let count = content.count / width
            // A node of no slots has no runs, though others may lie before it in its buffer.
            if count == 0 || (start == 0 && end((count - 1) * width) <= slots) { return .content(content) }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(content.count)
            for run in 0..<count {
                bytes.appendLittle(T(truncatingIfNeeded: min(end(run * width) &- start, slots)))
            }
            return .made(bytes + content[(count * width)...])
        }
        return width == 2 ? moved(Int16.self) : width == 4 ? moved(Int32.self) : moved(Int64.self)
    }
}
