import CArrow
import System

/// Publishes a table batch by batch into one segment that is a file: of the table, no more than a batch is in memory.
///
/// Buffers of inputs are reshared where they lie; all others are written to the file, one after the other.
public struct StreamedPublisher {
    /// Where a part of a buffer was put: a batch may name one buffer several times.
    private struct Place: Hashable {
        let address: UInt
        let bytes: Int
    }

    private let map: SegmentMap
    private let id: UInt64

    /// - Parameters:
    ///   - inputs: segments whose memory is reshared.
    ///   - id: the number of the segment that is written.
    public init(inputs: [MappedSegment], writing id: UInt64) {
        map = SegmentMap(inputs)
        self.id = id
    }

    /// Reads a stream to its end and publishes its batches, each before the next one is asked for. The stream is moved from `source` and
    /// released. Returns the descriptor, and how the bytes travelled.
    ///
    /// - Parameter write: writes bytes to the file, behind those of the last call.
    public func publish(
        _ source: UnsafeMutablePointer<ArrowArrayStream>, _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> (descriptor: [UInt8], counts: PublishCounts) {
        let stream = try OwnedStream(moving: source)
        // The bytes are written anyway, so that what no row names may well be left out.
        var collector = Collector(try stream.schema()) { _ in .exact }
        var output = StreamOutput()
        var table = SegmentTable()
        var references: [Reference] = []
        var counts = PublishCounts()
        // A dictionary is known by its address, which must not come to mean another one.
        var holders: [Int: OwnedArray] = [:]
        while let batch = try stream.next() {
            let number = Int(collector.builder.batches)
            try collector.append(batch.raw)
            var places: [Place: UInt64] = [:]
            for extent in collector.extents {
                references.append(try place(extent, &places, &table, &counts, &output, write))
            }
            collector.endBatch()
            holders[number] = batch
            let needed = Set(collector.dictionaryBatches.compactMap(\.self))
            holders = holders.filter { needed.contains($0.key) }
        }
        try output.flush(write)
        if counts.copiedBytes > 0 { _ = table.index(of: SegmentEntry(id: id, bytes: UInt64(output.count))) }
        counts.rows = collector.builder.rows
        counts.batches = collector.builder.batches
        return (collector.builder.finish(segments: table.segments, references: references), counts)
    }

    /// The place of a buffer: where it is, or where it is written to now.
    private func place(
        _ extent: Extent, _ places: inout [Place: UInt64], _ table: inout SegmentTable, _ counts: inout PublishCounts,
        _ output: inout StreamOutput, _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws -> Reference {
        if extent.bytes == 0 { return .empty }
        let length = UInt64(extent.bytes)
        if let (segment, offset) = map.locate(extent) {
            counts.bytes += length
            counts.resharedBytes += length
            let index = table.index(of: SegmentEntry(id: segment.id, bytes: UInt64(segment.bytes)))
            return Reference(segment: index, offset: offset, length: length)
        }
        let index = table.index(of: SegmentEntry(id: id, bytes: 0))
        let own = Place(address: extent.address, bytes: extent.bytes)
        if let offset = places[own] { return Reference(segment: index, offset: offset, length: length) }
        let offset = UInt64(output.count)
        try output.append(
            UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: extent.address), count: extent.bytes), write)
        output.pad(extent.bytes)
        counts.bytes += length
        counts.copiedBytes += length
        places[own] = offset
        return Reference(segment: index, offset: offset, length: length)
    }
}
