import Glibc
import System
import Testing

@testable import Engine

/// The engine's answers to the planner, whose questions are bytes that anybody may have made it send.
struct SourceAnswersTests {
    private let folder: String

    init() throws {
        var name = Array("/tmp/zerrow-answers-XXXXXX".utf8CString)
        let made = mkdtemp(&name)
        folder = String(cString: try #require(made))
    }

    private func ask(_ kind: Character, _ paths: [String]) throws -> [UInt8] {
        var question = Array(String(kind).utf8) + [7, 0, 0, 0]
        for path in paths { question += Array(path.utf8) + [0] }
        var answer = try SourceAnswers().answer(question)
        var bytes: [UInt8] = []
        while let message = answer.next() {
            #expect(Array(message[..<4]) == [7, 0, 0, 0])
            #expect(message.count <= SourceAnswers.pieceBytesMax + 5)
            bytes += message[5...]
        }
        return bytes
    }

    private func number(_ bytes: some Collection<UInt8>) -> Int { bytes.reversed().reduce(0) { $0 << 8 | Int($1) } }

    private func write(_ name: String, _ content: [UInt8]) throws {
        let file = try FileDescriptor.open("\(folder)/\(name)", O_RDWR | O_CREAT | O_TRUNC)
        let raw = file.raw
        let count = content.withUnsafeBytes { pwrite(raw, $0.baseAddress, $0.count, 0) }
        #expect(count == content.count)
    }

    private func clean() {
        _ = try? ChildProcess(["rm", "-r", folder], environment: nil, folder: "/", output: .null, errors: .null).wait()
    }

    @Test func aFolderIsListedWithWhatItsEntriesAre() throws {
        defer { clean() }
        try write("a", [1])
        mkdir("\(folder)/b", 0o755)
        symlink("b", "\(folder)/c")
        symlink("nowhere", "\(folder)/d")
        mkfifo("\(folder)/e", 0o600)
        let answer = try ask("L", [folder])
        #expect(number(answer[..<4]) == 0)
        let entries = answer[4...].split(separator: 0).map { String(decoding: $0, as: UTF8.self) }.sorted()
        #expect(entries == ["Dc", "Ld", "db", "fa", "oe"])
    }

    @Test func aFooterIsTheEndOfItsFileAndNoMore() throws {
        defer { clean() }
        let footer = (0..<200_000).map { UInt8(truncatingIfNeeded: $0) }
        let length = withUnsafeBytes(of: UInt32(footer.count).littleEndian) { Array($0) }
        try write("long", [9, 9, 9, 9] + footer + length + Array("PAR1".utf8))
        let answer = try ask("F", ["\(folder)/long"])
        #expect(number(answer[..<4]) == 0)
        #expect(number(answer[4..<12]) == footer.count + 12)
        #expect(Array(answer[12...]) == footer + length + Array("PAR1".utf8))
        try write("lies", [255, 255, 255, 255] + Array("PAR1".utf8))
        #expect(Array(try ask("F", ["\(folder)/lies"])[12...]) == [255, 255, 255, 255] + Array("PAR1".utf8))
        try write("empty", [])
        #expect(try ask("F", ["\(folder)/empty"]).count == 12)
    }

    @Test func nothingButFoldersAndRegularFilesIsOpened() throws {
        defer { clean() }
        mkfifo("\(folder)/pipe", 0o600)
        #expect(number(try ask("F", ["\(folder)/pipe"])) == Int(EINVAL))
        #expect(number(try ask("F", [folder])) == Int(EINVAL))
        #expect(number(try ask("L", ["\(folder)/pipe"])) == Int(ENOTDIR))
        for path in ["/dev/zero", "/proc/self/maps", "/sys/kernel/notes"] {
            let code = number(try ask("F", [path]))
            #expect(code == Int(EACCES) || code == Int(ENOENT), "\(path)")
        }
        #expect(number(try ask("L", ["/proc"])) == Int(EACCES))
        symlink("/proc/self/environ", "\(folder)/link")
        #expect(number(try ask("F", ["\(folder)/link"])) == Int(EACCES))
    }

    @Test func whatALinkLeadsToIsSaidAndWhatIsNotThereToo() throws {
        defer { clean() }
        try write("a", [1, 2, 3])
        symlink("a", "\(folder)/link")
        symlink("nowhere", "\(folder)/broken")
        let answer = try ask("S", ["\(folder)/link", "\(folder)/broken", "\(folder)/none", "relative", ""])
        #expect(number(answer[..<4]) == 0)
        #expect(number(answer[28..<36]) == 3)
        let length = number(answer[60..<64])
        let path = String(decoding: answer[64..<(64 + length)], as: UTF8.self)
        #expect(path == Path.resolved("\(folder)/a"))
        let codes = answer[(64 + length)...]
        #expect(codes.count == 16)
        let numbers = stride(from: codes.startIndex, to: codes.endIndex, by: 4).map { number(codes[$0..<($0 + 4)]) }
        #expect(numbers == [Int(ENOLINK), Int(ENOENT), Int(ENAMETOOLONG), Int(ENAMETOOLONG)])
    }

    @Test func bytesThatAreNoQuestionAreRefusedAndNoneTraps() throws {
        defer { clean() }
        for bytes in [[], [0x4c], Array("L1234".utf8), Array("X1234/tmp".utf8) + [0], Array("L1234/tmp".utf8)] {
            #expect(throws: EngineError.self) { _ = try SourceAnswers().answer(bytes) }
        }
        let seed = UInt64.random(in: 0...UInt64.max)
        var state = seed
        func next() -> UInt8 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        for _ in 0..<20_000 {
            let letters: [UInt8] = [0x4c, 0x53, 0x46, 0x2f, 0, 0x2e, 0x74, 0x6d, 0x70]
            let bytes = (0..<Int(next() % 40)).map { _ in next() < 200 ? letters[Int(next()) % letters.count] : next() }
            // Below the folder, so that nothing large is read.
            guard var answer = try? SourceAnswers().answer(bytes.starts(with: [0x4c]) ? bytes : [0x53] + bytes + [0])
            else {
                continue
            }
            while answer.next() != nil {}
        }
        print("seed of the questions: \(seed)")
    }
}
