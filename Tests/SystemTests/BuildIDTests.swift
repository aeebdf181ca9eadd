import Glibc
import System
import Testing

@Suite struct BuildIDTests {
    private static func folder() throws -> String {
        let path = Path.parent(CommandLine.arguments[0]) + "/build-id-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        try Files.makeDirectory(path)
        return path
    }

    /// An ELF file with one segment of notes: a foreign one, then a build ID.
    private static func program(_ id: [UInt8]) -> [UInt8] {
        func number(_ value: Int, _ count: Int) -> [UInt8] { (0..<count).map { UInt8(value >> ($0 * 8) & 255) } }
        func note(_ type: Int, _ content: [UInt8]) -> [UInt8] {
            let padding = [UInt8](repeating: 0, count: -content.count & 3)
            return number(4, 4) + number(content.count, 4) + number(type, 4) + Array("GNU\0".utf8) + content + padding
        }
        let notes = note(5, [9, 9, 9]) + note(3, id)
        var header = [0x7F] + Array("ELF".utf8) + [2, 1] + [UInt8](repeating: 0, count: 26) + number(64, 8)
        header += [UInt8](repeating: 0, count: 14) + number(56, 2) + number(1, 2) + [UInt8](repeating: 0, count: 6)
        var segment = number(4, 4) + number(0, 4) + number(120, 8)
        segment += [UInt8](repeating: 0, count: 16) + number(notes.count, 8) + [UInt8](repeating: 0, count: 16)
        return header + segment + notes
    }

    private static func write(_ bytes: [UInt8], _ path: String) throws {
        let file = try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        try bytes.withUnsafeBytes { try file.writeAll($0, at: 0) }
    }

    @Test func aBuildIsKnownByTheLinkersHashWhateverTheFile() throws {
        let folder = try Self.folder()
        defer {
            for name in (try? Files.list(folder)) ?? [] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        try Self.write(Self.program([0xAB, 0x01, 0xFF]), folder + "/a")
        try Self.write(Self.program([0xAB, 0x01, 0xFF]), folder + "/b")
        #expect(try BuildID.of(folder + "/a") == "ab01ff" && BuildID.of(folder + "/b") == "ab01ff")
        try Self.write(Self.program([0xAB, 0x02, 0xFF]), folder + "/a")
        #expect(try BuildID.of(folder + "/a") == "ab02ff")
    }

    @Test func aFileThatIsDamagedOrHasNoneIsKnownByItself() throws {
        let folder = try Self.folder()
        defer {
            unlink(folder + "/a")
            rmdir(folder)
        }
        let path = folder + "/a"
        let whole = Self.program([1, 2, 3, 4])
        for count in 0..<whole.count {
            try Self.write(Array(whole[..<count]), path)
            #expect(try BuildID.of(path) == Files.identity(path), "\(count) bytes of it")
        }
        // Whatever one byte says, the answer is one of the two.
        for place in whole.indices where place != whole.count - 4 {
            for value in [0, 1, 0x7F, 0x80, 0xFF] as [UInt8] {
                var bytes = whole
                bytes[place] = value
                try Self.write(bytes, path)
                #expect(try !BuildID.of(path).isEmpty)
            }
        }
        #expect(throws: SystemError.self) { try BuildID.of(folder + "/none") }
    }
}
