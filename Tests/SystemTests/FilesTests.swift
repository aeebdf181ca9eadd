import Glibc
import System
import Testing

@Suite struct FilesTests {
    @Test func smallFilesAndFolders() throws {
        let folder = "/tmp/zerrow-system-test-\(getpid())-\(UInt64.random(in: 0...UInt64.max))"
        try Files.makeDirectory(folder)
        defer { try? Files.removeDirectory(folder) }
        try Files.write(folder + "/b", "hello")
        try Files.write(folder + "/a", "")
        #expect(try Files.list(folder) == ["a", "b"])
        #expect(String(decoding: try Files.read(folder + "/b", bytesMax: 5), as: UTF8.self) == "hello")
        let error = #expect(throws: SystemError.self) { _ = try Files.read(folder + "/b", bytesMax: 4) }
        #expect(error?.errno == EFBIG)
        #expect(throws: SystemError.self) { try Files.write(folder + "/c", "x", create: false) }
        #expect(throws: SystemError.self) { try Files.makeDirectory(folder) }
        #expect(Files.exists(folder + "/a"))
        try Files.remove(folder + "/a")
        try Files.remove(folder + "/b")
        #expect(!Files.exists(folder + "/a"))
    }

    @Test func aMissingFileIsNamed() throws {
        let error = #expect(throws: SystemError.self) { _ = try Files.read("/nowhere/x", bytesMax: 10) }
        #expect(error?.description == "open failed on /nowhere/x: No such file or directory")
    }

    @Test func theMachineHasMemoryAndProcessors() throws {
        let memory = try Machine.memory()
        #expect(memory.bytesTotal > memory.bytesAvailable && memory.bytesAvailable > 0)
        #expect(Machine.processorCount() >= 1)
        let before = MonotonicClock.nanoseconds()
        #expect(MonotonicClock.nanoseconds() >= before)
    }

    @Test func manyPiecesAreWrittenInOrder() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 0, sealable: true)
        let content = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        try withBytes(content) { (bytes) throws(SystemError) in
            // 5000 pieces are more than one call takes; empty ones are skipped.
            let pieces = stride(from: 0, to: 50_000, by: 10).flatMap {
                [UnsafeRawBufferPointer(rebasing: bytes[$0..<$0 + 10]), UnsafeRawBufferPointer(rebasing: bytes[0..<0])]
            }
            try file.writeAll(pieces)
        }
        #expect(try file.bytes(0..<50_000) == content)
        let out = try FileDescriptor.memory(named: "out", bytes: 0, sealable: true)
        try file.send(3..<40_000, to: out)
        #expect(try out.bytes(0..<39_997) == Array(content[3..<40_000]))
    }
}
