import Glibc
import System
import Testing

private let page = Machine.pageBytes

@Suite struct DiskFileTests {
    /// A folder on a disk: where the tests were built.
    private let folder = Path.parent(CommandLine.arguments[0])

    @Test func anUnnamedFileIsOnTheDiskForItsOwnerAlone() throws {
        let file = try FileDescriptor.unnamed(in: folder)
        #expect(try file.status().mode == 0o600)
        #expect(try !file.isInMemory())
        try file.allocate(bytes: 64 * page)
        #expect(try file.status().bytes == 64 * page)
        #expect(try file.status().residentBytes >= 64 * page, "the room is taken")
        let isAllZero = try file.bytes(0..<64 * page).allSatisfy { $0 == 0 }
        #expect(isAllZero)
        #expect(Files.linkTarget("/proc/self/fd/\(file.raw)")?.hasSuffix("(deleted)") == true)
        // Readers get a descriptor that can only read.
        let reader = try file.reopenReadOnly()
        #expect(throws: SystemError.self) { try reader.allocate(bytes: 1) }
    }

    @Test func whatIsWrittenBackCanLeaveThePageCache() throws {
        // The cache's own pages may be as large as this, and leave it whole or not at all.
        let huge = Machine.hugePageBytes
        let file = try FileDescriptor.unnamed(in: folder)
        try file.allocate(bytes: 3 * huge)
        let content = [UInt8](repeating: 7, count: 3 * huge)
        try content.withUnsafeBytes { try file.writeAll($0, at: 0) }
        let mapping = try Mapping(file, count: 3 * huge)
        #expect(try mapping.residentRanges(in: 0..<3 * huge) == [0..<3 * huge])
        try file.beginWriteback(0..<huge)
        try file.finishWriteback(0..<huge)
        try file.dropCache(0..<huge)
        try file.synchronize()
        try file.dropCache(2 * huge..<3 * huge)
        #expect(try mapping.residentRanges(in: 0..<3 * huge) == [huge..<2 * huge])
        #expect(try mapping.residentRanges(in: huge + page..<3 * huge) == [huge + page..<2 * huge])
        try file.readAhead(0..<huge)
        let isTheSame = try file.bytes(0..<3 * huge) == content
        #expect(isTheSame)
    }

    @Test func aMemoryFileSaysThatItIsInMemory() throws {
        let file = try FileDescriptor.memory(named: "m", bytes: 16 * page, sealable: false)
        #expect(try file.isInMemory())
        try [1].withUnsafeBytes { (byte: UnsafeRawBufferPointer) in
            try file.writeAll(byte, at: 3 * page)
            try file.writeAll(byte, at: 4 * page)
            try file.writeAll(byte, at: 9 * page)
        }
        let mapping = try Mapping(file, count: 16 * page)
        #expect(try mapping.residentRanges(in: 0..<16 * page) == [3 * page..<5 * page, 9 * page..<10 * page])
    }

    @Test func aFolderThatIsMissingOrFullIsSaid() throws {
        let missing = #expect(throws: SystemError.self) { _ = try FileDescriptor.unnamed(in: folder + "/nowhere").raw }
        #expect(missing?.errno == ENOENT)
        let file = try FileDescriptor.unnamed(in: folder)
        let full = #expect(throws: SystemError.self) {
            try FaultPlan(.allocate, errno: ENOSPC).apply { try file.allocate(bytes: 5) }
        }
        #expect(full?.description.hasSuffix("free room on that disk, or choose a folder on another") == true)
        // No disk has so much, and what was taken of it is given back with the file.
        #expect(throws: SystemError.self) { try file.allocate(bytes: 1 << 60) }
    }
}
