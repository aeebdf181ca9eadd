import System
import Testing

@testable import SIPC

@Suite struct FileWriterTests {
    /// The standard stream of a table, for comparing what tables hold.
    private func stream(_ descriptor: Descriptor, _ segments: [MappedSegment]) throws -> [UInt8] {
        let file = try FileDescriptor.memory(named: "stream", bytes: 0, sealable: false)
        try descriptor.writeStream(segments, to: file)
        return try file.bytes(0..<(try file.status().bytes))
    }

    /// A table as a file, and where its bytes were put.
    private func write(
        _ descriptor: Descriptor, _ segment: MappedSegment, id: UInt64
    ) throws -> (layout: FileLayout, file: MappedSegment, placements: [Placement]) {
        let layout = try descriptor.fileLayout()
        var bytes: [UInt8] = []
        let placements = try descriptor.writeFile(layout, [segment]) { piece, offset in
            #expect(offset == bytes.count)
            bytes += piece
        }
        #expect(bytes.count == layout.bytes)
        return (layout, try MappedSegment(id: id, try FileDescriptor.sealedMemory(named: "file", bytes)), placements)
    }

    @Test(arguments: ["v1-types", "v1-slices"])
    func aTableIsTheSameInAFileOfItsOwn(_ name: String) throws {
        let segment = try Golden.segment(name + ".segment")
        let descriptor = try Descriptor(try Golden.bytes(name + ".sipc"))
        let expected = try stream(descriptor, [segment])
        let (layout, file, placements) = try write(descriptor, segment, id: 9)
        let inFile = try Descriptor(descriptor.described(in: layout, id: 9))
        #expect(inFile.segments == [SegmentEntry(id: 9, bytes: UInt64(layout.bytes))])
        inFile.forEachReference { #expect($0.offset % 64 == 0) }
        #expect(try stream(inFile, [file]) == expected)
        for placement in placements {
            let there = file.content[placement.offset..<placement.offset + placement.range.count]
            #expect(segment.content[placement.range].elementsEqual(there))
        }
        // The dictionaries of one of them are replaced on the way.
        if layout.format == .file {
            let standard = try Descriptor(arrowFile: file)
            #expect(try stream(standard, [file]) == expected)
        }
    }

    private let key = "00112233445566778899aabbccddeeff"

    @Test func anyFlippedBitOfAFileWithAChecksumIsFound() throws {
        let segment = try Golden.segment("v1-types.segment")
        let descriptor = try Descriptor(try Golden.bytes("v1-types.sipc"))
        let layout = try descriptor.fileLayout(hasChecksum: true)
        var bytes: [UInt8] = []
        _ = try descriptor.writeFile(layout, [segment], key: key) { piece, _ in bytes += piece }
        #expect(layout.format == .file && bytes.count == layout.bytes)
        let file = try FileDescriptor.memory(named: "file", bytes: 0, sealable: false)
        try bytes.withUnsafeBytes { try file.writeAll($0, at: 0) }
        #expect(try file.hasArrowChecksum(key: key))
        // Given another one's name it is not that one.
        #expect(try !file.hasArrowChecksum(key: "10112233445566778899aabbccddeeff") && !file.hasArrowChecksum(key: ""))
        let whole = try MappedSegment(id: 9, try FileDescriptor.sealedMemory(named: "file", bytes))
        let read = try stream(try Descriptor(arrowFile: whole), [whole])
        #expect(try read == stream(descriptor, [segment]))
        for place in bytes.indices {
            let flipped = [bytes[place] ^ (1 << UInt8(place % 8))]
            try flipped.withUnsafeBytes { try file.writeAll($0, at: place) }
            let isFound = try !file.hasArrowChecksum(key: key)
            #expect(isFound, "byte \(place) of \(bytes.count)")
            try [bytes[place]].withUnsafeBytes { try file.writeAll($0, at: place) }
        }
        #expect(try file.hasArrowChecksum(key: key))
    }

    @Test func aFileWithoutAChecksumHasNone() throws {
        let segment = try Golden.segment("v1-types.segment")
        let descriptor = try Descriptor(try Golden.bytes("v1-types.sipc"))
        var bytes: [UInt8] = []
        _ = try descriptor.writeFile(try descriptor.fileLayout(), [segment]) { piece, _ in bytes += piece }
        for count in [bytes.count, bytes.count - 1, 60, 46, 45, 13, 1, 0] {
            let file = try FileDescriptor.memory(named: "file", bytes: 0, sealable: false)
            try bytes[..<count].withUnsafeBytes { try file.writeAll($0, at: 0) }
            #expect(try !file.hasArrowChecksum(key: key), "\(count) bytes")
        }
    }

    @Test func aTableOfWhichAPartIsElsewhereIsTheSame() throws {
        let segment = try Golden.segment("v1-slices.segment")
        let descriptor = try Descriptor(try Golden.bytes("v1-slices.sipc"))
        let expected = try stream(descriptor, [segment])
        let (layout, file, placements) = try write(descriptor, segment, id: 9)
        let new = SegmentEntry(id: 9, bytes: UInt64(layout.bytes))
        let places = Dictionary(placements.map { ($0.range, $0.offset) }) { first, _ in first }
        for kept in 0..<3 {
            var count = 0
            let bytes = descriptor.relocated(to: new) { id, reference in
                #expect(id == 7)
                count += 1
                let lower = Int(reference.offset)
                guard count % 3 != kept else { return nil }
                return places[lower..<lower + Int(reference.length)].map { UInt64($0) }
            }
            let moved = try Descriptor(try #require(bytes))
            #expect(moved.segments.map(\.id) == [7, 9])
            #expect(try stream(moved, [segment, file]) == expected)
        }
        #expect(descriptor.relocated(to: new) { _, _ in nil } == nil)
    }
}
