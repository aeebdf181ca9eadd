import Foundation
import SeededNumbers
import Testing

@testable import Engine

@Suite struct JSONWriterTests {
    /// Foundation's reader is the judge.
    @Test(arguments: 1..<60 as Range<UInt64>) func whatIsWrittenIsReadAsItWas(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        let scalars = [
            "\"", "\\", "/", "\n", "\t", "\r", "\u{0}", "\u{1f}", "\u{7f}", "\u{2028}", "é", "e\u{301}", "😀", "a", "z",
        ]
        func text() -> String {
            (0..<Int.random(in: 0...8, using: &random)).map { _ in scalars.randomElement(using: &random)! }.joined()
        }
        func value(_ depth: Int) -> JSONValue {
            switch Int.random(in: 0..<(depth == 0 ? 5 : 7), using: &random) {
            case 0: .null
            case 1: .bool(Bool.random(using: &random))
            case 2: .integer(Int64(bitPattern: UInt64.random(in: 0...(.max), using: &random)))
            // A fraction: a whole number is read as one.
            case 3: .number(Double(Int.random(in: -9...9, using: &random)) + 0.125)
            case 4: .string(text())
            case 5: .array((0..<Int.random(in: 0...4, using: &random)).map { _ in value(depth - 1) })
            default:
                .object(
                    Dictionary(
                        (0..<Int.random(in: 0...4, using: &random)).map { _ in (text(), value(depth - 1)) },
                        uniquingKeysWith: { $1 }))
            }
        }
        let written = value(4)
        let read = try JSONDecoder().decode(JSONValue.self, from: Data(written.utf8))
        #expect(read == written, "seed \(seed)")
        #expect(JSONValue(parsing: written.utf8) == written, "seed \(seed)")
    }

    @Test func numbersKeepTheirDigits() throws {
        for number in [0.1, -1e-9, 1e300, 5e-324, 123456.789, .greatestFiniteMagnitude, 3] {
            let read = try JSONDecoder().decode(Double.self, from: Data(JSONValue.number(number).utf8))
            #expect(read == number)
        }
        #expect(String(decoding: JSONValue.number(3).utf8, as: UTF8.self) == "3")
        #expect(
            String(decoding: JSONValue(["b": 1, "a": ["x/y", true]]).utf8, as: UTF8.self)
                == #"{"a":["x/y",true],"b":1}"#)
    }
}
