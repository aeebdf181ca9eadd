import CArrow
import System

/// A table that refers to nothing but the values its rows name, to be written somewhere.
public struct Trimmed {
    /// The table; it may refer to one segment more.
    public let descriptor: Descriptor
    /// The segments that it refers to.
    public let segments: [MappedSegment]
}

extension Descriptor {
    /// The number of the segment with the buffers that were made anew: no engine gives it out.
    private static let madeID = UInt64.max

    /// The table without the values that no row of it names. Slices of text, binary values, lists, list views, dense unions and
    /// views share such values with the arrays that they were cut from.
    ///
    /// It reads offsets and views, which may be a pass over all of them. If they are not valid Arrow, everything is left as it
    /// is. Dictionaries stay whole.
    ///
    /// - Parameter segments: at least those that the descriptor names.
    public func trimmed(_ segments: [MappedSegment]) throws -> Trimmed {
        let source = try TableSource(self, segments)
        guard shapes.nodes.contains(where: \.layout.mayHoldMore) else {
            return Trimmed(descriptor: self, segments: segments)
        }
        var collector = Collector(schema) { _ in .exact }
        do throws(SIPCError) {
            try forEachBatch(source) { (batch) throws(SIPCError) in try collector.append(batch) }
        } catch {
            return Trimmed(descriptor: self, segments: segments)
        }
        return try trimmed(collector, source)
    }

    private func forEachBatch(
        _ source: TableSource, _ body: (UnsafePointer<ArrowArray>) throws(SIPCError) -> Void
    ) throws(SIPCError) {
        var dictionaries = [MessageView?](repeating: nil, count: shapes.dictionaries.count)
        for message in messages {
            if let dictionary = message.dictionary {
                dictionaries[dictionary] = message
                continue
            }
            let batch = OwnedArray()
            try ArrayExport.batch(source, message, dictionaries, to: batch.raw)
            try body(batch.raw)
        }
    }

    private func trimmed(_ collector: Collector, _ source: TableSource) throws -> Trimmed {
        let old = (0..<referenceCount).reduce(UInt64(0)) { $0 &+ reference($1).length }
        let new = collector.extents.reduce(UInt64(0)) { $0 &+ UInt64($1.bytes) }
        guard new < old else { return Trimmed(descriptor: self, segments: source.segments) }
        var segments = source.segments
        var places: [UInt: UInt64] = [:]
        if collector.made.bytes > 0 {
            segments.append(try Self.segment(collector.made, &places))
        }
        let map = SegmentMap(source.segments)
        var table = SegmentTable()
        var references: [Reference] = []
        references.reserveCapacity(collector.extents.count)
        for extent in collector.extents {
            if extent.bytes == 0 {
                references.append(.empty)
            } else if extent.isMade, let offset = places[extent.address], let made = segments.last {
                let index = table.index(of: SegmentEntry(id: made.id, bytes: UInt64(made.bytes)))
                references.append(Reference(segment: index, offset: offset, length: UInt64(extent.bytes)))
            } else if let (segment, offset) = map.locate(extent) {
                let index = table.index(of: SegmentEntry(id: segment.id, bytes: UInt64(segment.bytes)))
                references.append(Reference(segment: index, offset: offset, length: UInt64(extent.bytes)))
            } else {
                preconditionFailure("a buffer of a table lies in none of its segments")
            }
        }
        let bytes = collector.builder.finish(segments: table.segments, references: references)
        return Trimmed(descriptor: try Descriptor(bytes), segments: segments)
    }

    /// A segment with all buffers that were made; adds the place of each.
    private static func segment(_ made: MadeMemory, _ places: inout [UInt: UInt64]) throws -> MappedSegment {
        let alignment = Container.alignment
        let size = made.pieces.reduce(0) { $0 + $1.count + Container.padding($1.count) }
        let file = try FileDescriptor.memory(named: "trimmed", bytes: size, sealable: false)
        var end = 0
        for piece in made.pieces {
            precondition(end % alignment == 0)
            try file.writeAll(UnsafeRawBufferPointer(piece), at: end)
            places[UInt(bitPattern: piece.baseAddress)] = UInt64(end)
            end += piece.count + Container.padding(piece.count)
        }
        return try MappedSegment(id: madeID, file)
    }
}

extension Layout {
    /// Whether a slice of such an array refers to more than its slots.
    fileprivate var mayHoldMore: Bool {
        switch self {
        case .variable, .view, .list, .listView, .denseUnion: true
        default: false
        }
    }
}
