import SeededNumbers
import System

@testable import SIPC
@testable import Store

/// A column of a batch: 64-bit integers that lie in a segment.
struct ColumnPlace {
    let segment: SegmentID
    let range: Range<Int>
}

/// A real Arrow table over segments: the store looks into its descriptor when it moves it.
struct ColumnTable {
    let descriptor: DescriptorBox
    let references: References

    /// A table of batches of int64 columns.
    ///
    /// - Parameter sizes: the sizes of the segments' files.
    init(_ batches: [[ColumnPlace]], sizes: [SegmentID: Int]) throws {
        let count = batches.first?.count ?? 0
        let fields = (0..<count).map { index in
            Field(
                name: "c\(index)", nullable: false, type: .integer(bits: 64, signed: true), children: [],
                dictionary: nil, metadata: [])
        }
        var builder = DescriptorBuilder(Schema(fields: fields, metadata: []))
        let used = Array(Set(batches.joined().map(\.segment))).sorted()
        var list: [SIPC.Reference] = []
        var references = References()
        for batch in batches {
            var body = Body()
            body.length = Int64((batch.first?.range.count ?? 0) / 8)
            for column in batch {
                body.nodes += [Int64(column.range.count / 8), 0]
                body.bufferBytes += [0, Int64(column.range.count)]
                list += [
                    .empty,
                    Reference(
                        segment: UInt32(used.firstIndex(of: column.segment) ?? 0),
                        offset: UInt64(column.range.lowerBound), length: UInt64(column.range.count)),
                ]
                try references.add(column.segment, [column.range])
            }
            try builder.append(batch: body)
        }
        let segments = used.map { SegmentEntry(id: $0.rawValue, bytes: UInt64(sizes[$0] ?? 0)) }
        let bytes = builder.finish(segments: segments, references: list)
        _ = try Descriptor(bytes)
        descriptor = DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", bytes))
        self.references = references
    }
}

extension SegmentStore {
    /// The standard stream of a table: what its readers see, wherever it lies.
    func stream(of table: TableID) throws -> [UInt8] {
        guard let entry = tables[table] else { throw StoreError(.unsuitable, nil, "table \(table) is gone") }
        let descriptor = try Descriptor(reading: entry.descriptor)
        var mapped: [MappedSegment] = []
        for segment in descriptor.segments {
            guard let file = segments[SegmentID(rawValue: segment.id)]?.reader else {
                throw StoreError(.unsuitable, nil, "segment \(segment.id) is gone")
            }
            mapped.append(try MappedSegment(id: segment.id, file.descriptor))
        }
        let file = try FileDescriptor.memory(named: "stream", bytes: 0, sealable: false)
        try descriptor.writeStream(mapped, to: file)
        return try file.bytes(0..<(try file.status().bytes))
    }

    /// The sizes of the files of all segments.
    var sizes: [SegmentID: Int] { segments.mapValues(\.bytes) }

    /// Publishes a worker's table and ends the worker.
    func publish(_ batches: [[ColumnPlace]], by worker: BorrowerID) throws -> TableID {
        let table = try ColumnTable(batches, sizes: sizes)
        let id = try publish(by: worker, descriptor: table.descriptor, references: table.references)
        try end(worker)
        return id
    }

    /// A table whose columns are the given ranges of a new output, filled with random bytes.
    func publishColumns(_ ranges: [Range<Int>], bytes: Int, by worker: BorrowerID, seed: UInt64 = 1) throws -> TableID {
        let output = try makeOutputSegment(bytes: bytes, for: worker)
        var random = RandomSource(seed: seed)
        for range in ranges { try output.file.fill(range, &random) }
        return try publish([ranges.map { ColumnPlace(segment: output.id, range: $0) }], by: worker)
    }

    /// A table of some columns of another one's only segment.
    func publishPart(_ ranges: [Range<Int>], of table: TableID, by worker: BorrowerID) throws -> TableID {
        _ = try makeOutputSegment(bytes: 1, for: worker)
        let segment = lend(table, to: worker).segments[0].id
        return try publish([ranges.map { ColumnPlace(segment: segment, range: $0) }], by: worker)
    }
}

extension DescriptorBox {
    /// Fills a range with random bytes.
    func fill(_ range: Range<Int>, _ random: inout RandomSource) throws {
        var words = [UInt64](repeating: 0, count: (range.count + 7) / 8)
        for index in words.indices { words[index] = random.next() }
        try words.withUnsafeBytes { bytes in
            try descriptor.writeAll(UnsafeRawBufferPointer(rebasing: bytes[..<range.count]), at: range.lowerBound)
        }
    }
}

/// A folder on a disk: where the tests themselves were built.
func diskFolder() throws -> SpillFolder { try SpillFolder(Path.parent(CommandLine.arguments[0])) }
