import Glibc
import System
import Testing

@Suite struct MemoryFileTests {
    @Test func aMemoryFileIsSparseUntilItIsWritten() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 1 << 30, sealable: true)
        #expect(try file.status().bytes == 1 << 30)
        #expect(try file.status().residentBytes == 0)
        #expect(try file.dataRanges(in: 0..<1 << 30).isEmpty)
        try withBytes([1, 2, 3]) { bytes throws(SystemError) in try file.writeAll(bytes, at: 5 << 20) }
        #expect(try file.bytes(5 << 20..<(5 << 20) + 4) == [1, 2, 3, 0])
        #expect(try file.dataRanges(in: 0..<1 << 30) == [5 << 20..<(5 << 20) + Machine.pageBytes])
    }

    @Test func aHoleReadsZeroAndFreesItsPages() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 16 << 12, sealable: true)
        try withBytes([UInt8](repeating: 7, count: 16 << 12)) { bytes throws(SystemError) in
            try file.writeAll(bytes, at: 0)
        }
        try file.punchHole(4096 + 100..<4 * 4096)
        #expect(try file.status().residentBytes == 14 << 12)
        #expect(try file.bytes(4096 + 99..<4096 + 101) == [7, 0])
        #expect(try file.dataRanges(in: 0..<16 << 12) == [0..<2 << 12, 4 << 12..<16 << 12])
    }

    @Test func aSealedMemoryFileCannotBeChanged() throws {
        let file = try FileDescriptor.sealedMemory(named: "test", [1, 2, 3, 4])
        #expect(try file.seals() == .all)
        #expect(throws: SystemError.self) {
            try withBytes([9]) { b throws(SystemError) in try file.writeAll(b, at: 0) }
        }
        #expect(throws: SystemError.self) { try file.truncate(bytes: 2) }
        #expect(throws: SystemError.self) { try file.punchHole(0..<4096) }
        #expect(throws: SystemError.self) { _ = try Mapping(file, count: 4, access: .readWrite) }
        #expect(try file.bytes(0..<4) == [1, 2, 3, 4])
        let mapping = try Mapping(file, count: 4)
        withExtendedLifetime(mapping) { #expect(Array(mapping.bytes) == [1, 2, 3, 4]) }
    }

    @Test func sealingAFileThatIsMappedForWritingSaysSo() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 4096, sealable: true)
        let mapping = try Mapping(file, count: 4096, access: .readWrite)
        let error = #expect(throws: SystemError.self) { try file.addSeals(.all) }
        #expect(error?.errno == EBUSY)
        #expect(error?.description.contains("maps the file for writing") == true)
        _ = mapping.base
    }

    @Test func aReopenedDescriptorCannotWrite() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 4096, sealable: false)
        let reader = try file.reopenReadOnly()
        #expect(throws: SystemError.self) { _ = try Mapping(reader, count: 4096, access: .readWrite) }
        #expect(throws: SystemError.self) { try reader.punchHole(0..<4096) }
        #expect(throws: SystemError.self) { try reader.addSeals(.write) }
        #expect(throws: SystemError.self) { try file.addSeals(.write) }
    }

    @Test func readingPastTheEndIsAnError() throws {
        let file = try FileDescriptor.sealedMemory(named: "test", [1, 2, 3, 4])
        let error = #expect(throws: SystemError.self) { _ = try file.bytes(2..<6) }
        #expect(error?.errno == EIO)
    }

    @Test func aRangeIsCopiedInsideTheKernel() throws {
        let content = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let from = try FileDescriptor.sealedMemory(named: "from", content)
        let to = try FileDescriptor.memory(named: "to", bytes: 1 << 20, sealable: true)
        try from.copy(17..<90_000, to: to, at: 4099)
        #expect(try to.bytes(4099..<4099 + 90_000 - 17) == Array(content[17..<90_000]))
        #expect(throws: SystemError.self) { try from.copy(90_000..<200_000, to: to, at: 0) }
    }

    @Test func aCollapsedRangeStaysIntact() throws {
        let huge = Machine.hugePageBytes
        let file = try FileDescriptor.memory(named: "test", bytes: huge, sealable: true)
        try withBytes([5]) { bytes throws(SystemError) in try file.writeAll(bytes, at: 0) }
        let mapping = try Mapping(file, count: huge, access: .readWrite)
        // A busy kernel asks to try again.
        var failure: SystemError?
        for _ in 0..<100 {
            do throws(SystemError) {
                failure = nil
                try mapping.advise(.collapse, 0..<huge)
                break
            } catch {
                failure = error
                usleep(10_000)
            }
        }
        #expect(failure == nil)
        #expect(try file.status().residentBytes == huge)
        withExtendedLifetime(mapping) {
            #expect(mapping.bytes[0] == 5 && mapping.bytes[1] == 0 && mapping.bytes[huge - 1] == 0)
        }
        try mapping.advise(.populateRead, 0..<huge)
        #expect(try mapping.pageMap(0..<huge).allSatisfy { $0 >> 63 == 1 })
        #expect(try mapping.pageMap(0..<huge).count == 512)
    }
}

func withBytes<Failure: Error>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void)
    throws(Failure)
{
    try bytes.withUnsafeBufferPointer { (buffer) throws(Failure) in try body(UnsafeRawBufferPointer(buffer)) }
}
