import Glibc
import SeededNumbers
import System
import Testing

@testable import Engine
@testable import System

/// What is read from outside, with each of the fuzzer's seeds cut off and changed at random: it is taken or refused, and nothing traps.
@Suite struct HostileBytesTests {
    private static let folder = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 } + "/fuzz/seeds"

    /// How often each seed is changed; `ZERROW_HOSTILE_CHANGES` says another number.
    private static let changesPerSeed = getenv("ZERROW_HOSTILE_CHANGES").flatMap { Int(String(cString: $0)) } ?? 500

    /// A message and the files beside it, as the fuzzer's inputs have them.
    private func parts(_ bytes: [UInt8]) -> (Datagram, [DescriptorBox])? {
        let parts = bytes.split(separator: 0, maxSplits: 8, omittingEmptySubsequences: false)
        guard let first = parts.first, let message = Datagram(parsing: Array(first)) else { return nil }
        let files = parts.dropFirst().compactMap { content in
            try? DescriptorBox(FileDescriptor.sealedMemory(named: "test", Array(content)))
        }
        return (message, files)
    }

    private func read(_ target: String, _ bytes: [UInt8]) {
        if target == "json" {
            if let value = JSONValue(parsing: bytes) { #expect(JSONValue(parsing: value.utf8) != nil) }
            return
        }
        if target == "planner" {
            _ = try? PlannerAnswer.plan(bytes)
            _ = PlannerAnswer.problems(bytes)
            return
        }
        guard let (message, files) = parts(bytes) else { return }
        switch target {
        case "worker": _ = try? WorkerMessage(message, files, descriptorBytesMax: 1 << 20)
        case "zygote": _ = try? ZygoteMessage(message, files)
        case "server": _ = try? ServerMessage(message, files)
        default:
            if case .run(_, _, let file) = try? ClientMessage(message, files) { _ = ServeMessage.Call.read(file) }
        }
    }

    @Test(arguments: ["client", "json", "planner", "server", "worker", "zygote"])
    func changedSeedsAreTakenOrRefused(_ target: String) throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed of \(target): \(seed)")
        var numbers = RandomSource(seed: seed)
        var count = 0
        let names = try Files.list(Self.folder + "/" + target).sorted()
        #expect(!names.isEmpty)
        for name in names {
            let file = try FileDescriptor.open(Self.folder + "/" + target + "/" + name)
            let content = try file.bytes(0..<min(4096, try file.status().bytes))
            for end in stride(from: 0, through: content.count, by: max(1, content.count / 200)) {
                read(target, Array(content[..<end]))
                count += 1
            }
            for _ in 0..<Self.changesPerSeed {
                read(target, changed(content, &numbers))
                count += 1
            }
        }
        print("\(target): \(count) inputs")
    }

    private static let words = [
        "9223372036854775807", "-9223372036854775808", "1e308", "-1", "null", "[]", "{}", "\"\"", "\\ud800", "\u{0}",
        "1e999", "[[[[",
    ]

    private func changed(_ content: [UInt8], _ numbers: inout RandomSource) -> [UInt8] {
        var bytes = content
        for _ in 0..<Int.random(in: 1...4, using: &numbers) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &numbers)
            switch Int.random(in: 0..<5, using: &numbers) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &numbers)
            case 1: bytes[place] = UInt8.random(in: 0 ... .max, using: &numbers)
            case 2: bytes.remove(at: place)
            case 3:
                let end = min(bytes.count, place + Int.random(in: 1...20, using: &numbers))
                bytes.replaceSubrange(place..<end, with: Self.words.randomElement(using: &numbers)!.utf8)
            default: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 30)], at: place)
            }
        }
        return bytes
    }
}
