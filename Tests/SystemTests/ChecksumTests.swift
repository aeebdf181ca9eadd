import CLinux
import Glibc
import System
import Testing

@Suite struct ChecksumTests {
    /// Each of 32 bytes, with its CRC-32C. Source: RFC 3720, B.4.
    private let known: [(bytes: [UInt8], crc: String)] = [
        ([UInt8](repeating: 0, count: 32), "8a9136aa"),
        ([UInt8](repeating: 0xff, count: 32), "62a8ab43"),
        ([UInt8](0..<32), "46dd794e"),
        ([UInt8]((0..<32).reversed()), "113fdb5c"),
    ]

    /// The known bytes, one lane each.
    private var interleaved: [UInt8] {
        (0..<4).flatMap { word in known.flatMap { $0.bytes[word * 8..<word * 8 + 8] } }
    }

    private func text(_ bytes: [UInt8]) -> String {
        var sum = Checksum()
        bytes.withUnsafeBytes { sum.add($0) }
        return String(decoding: sum.text, as: UTF8.self)
    }

    @Test func eachLaneIsTheStandardsCRC() {
        #expect(text(interleaved) == known.map(\.crc).joined())
        #expect(text([]) == String(repeating: "0", count: Checksum.textBytes))
        // The check value of every list of CRCs: "123456789" in the first lane, whose last word is not whole.
        let others = [UInt8](repeating: 0, count: 24)
        #expect(text(Array("12345678".utf8) + others + Array("9".utf8)).hasPrefix("e3069283"))
    }

    @Test func piecesOfAnySizesGiveTheSame() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        srand48(Int(truncatingIfNeeded: seed))
        let bytes = (0..<10_000).map { _ in UInt8(truncatingIfNeeded: lrand48()) }
        let expected = text(bytes)
        for _ in 0..<100 {
            var (sum, place) = (Checksum(), 0)
            while place < bytes.count {
                let count = min(bytes.count - place, lrand48() % 3 == 0 ? lrand48() % 40 : lrand48() % 3000)
                bytes[place..<place + count].withUnsafeBytes { sum.add($0) }
                place += count
            }
            #expect(String(decoding: sum.text, as: UTF8.self) == expected, "seed \(seed)")
        }
        let file = try FileDescriptor.memory(named: "bytes", bytes: 0, sealable: false)
        let repeated = [[UInt8]](repeating: bytes, count: 100).flatMap { $0 }
        try repeated.withUnsafeBytes { try file.writeAll($0, at: 0) }
        var sum = Checksum()
        try sum.add(0..<77, of: file)
        try sum.add(77..<repeated.count, of: file)
        #expect(String(decoding: sum.text, as: UTF8.self) == text(repeated), "seed \(seed)")
        #expect(throws: SystemError.self) { try sum.add(0..<repeated.count + 1, of: file) }
    }

    @Test func aProcessorWithoutTheInstructionGivesTheSame() {
        let seed = UInt64.random(in: 0...UInt64.max)
        srand48(Int(truncatingIfNeeded: seed))
        for count in 0..<300 {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: lrand48()) }
            var sums = [zerrow_checksum](
                repeating: zerrow_checksum(lanes: (.max, .max, .max, .max), bytes: 0), count: 2)
            for part in [bytes[..<(count / 3)], bytes[(count / 3)...]] {
                part.withUnsafeBytes {
                    zerrow_checksum_add(&sums[0], $0.baseAddress, $0.count)
                    zerrow_checksum_add_portably(&sums[1], $0.baseAddress, $0.count)
                }
            }
            #expect(sums[0].lanes == sums[1].lanes, "seed \(seed), \(count) bytes")
        }
    }
}
