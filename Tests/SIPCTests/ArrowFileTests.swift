import System
import Testing

@testable import SIPC

/// Arrow IPC files that nobody has checked, as a cache folder or a source may hold them; those of `fuzz/seeds/arrow-file`.
@Suite struct ArrowFileTests {
    private func file(_ name: String) throws -> MappedSegment {
        let folder = String(#filePath.dropLast("Tests/SIPCTests/ArrowFileTests.swift".count)) + "fuzz/seeds/arrow-file/"
        let bytes = try Files.read(folder + name + ".arrow", bytesMax: 1 << 20)
        return try MappedSegment(id: 1, try FileDescriptor.sealedMemory(named: name, bytes))
    }

    @Test(arguments: [
        ("rows-beyond-64-bits", "2^61 rows"), ("rows-beyond-2-61", "2^61 rows"), ("rows-below-zero", "-1 rows"),
        ("one-block-a-hundred-times", "more bytes than the file"),
    ])
    func sumsThatNoTableHasAreErrors(name: String, says: String) throws {
        let file = try file(name)
        let error = #expect(throws: SIPCError.self) { try Descriptor(arrowFile: file) }
        #expect(error?.code == .malformed && "\(error!)".contains(says), "\(error as Any)")
    }

    @Test func anHonestFileOfManyBatchesIsRead() throws {
        #expect(try Descriptor(arrowFile: file("types")).rows > 0)
    }

    @Test func lengthsOfBuffersWhoseSumIsBeyondAnyFileAreErrors() throws {
        let schema = Schema(fields: [], metadata: [])
        for lengths: [Int64] in [[.max, .max], [1 << 60, 1 << 60, 1 << 60], [-1], [.max], [.max - 62]] {
            var body = Body()
            body.bufferBytes = lengths
            var builder = DescriptorBuilder(schema)
            #expect(throws: SIPCError.self) { try builder.append(batch: body) }
            #expect(throws: SIPCError.self) { try builder.append(dictionary: 1, body) }
        }
        var body = Body()
        body.length = 1 << 60
        var builder = DescriptorBuilder(schema)
        try builder.append(batch: body)
        try builder.append(batch: body)
        #expect(throws: SIPCError.self) { try builder.append(batch: body) }
        #expect(builder.rows == 1 << 61)
    }
}
