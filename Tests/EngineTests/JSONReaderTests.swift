import FoundationEssentials
import System
import Testing

@testable import Engine

@Suite struct JSONReaderTests {
    private func read(_ text: String) -> JSONValue? { JSONValue(parsing: Array(text.utf8)) }

    /// What Foundation reads, where it reads it.
    private func expected(_ text: String) -> JSONValue? {
        try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    }

    @Test func whatIsJSONReadsAsFoundationReadsIt() {
        let texts = [
            "null", "true", "false", "0", "-0", "12", "-7", "9223372036854775807", "-9223372036854775808", "1.5",
            "-2.5e-3", "[]", "[ ]", "{}", " { } ", "[1,2,3]", "[[],[[]],{}]", #""""#, #""a""#,
            #""\"\\\/\b\f\n\r\t""#, #""\u0041\u00e4\u20ac""#, #""\ud83d\ude00""#, #"{"a":1,"b":{"c":[null,true]}}"#,
            "\n\t\r [ 1 , 2 ]\n", #"{"":""}"#, "\"€😀\"", "\"\u{7f}\"",
        ]
        for text in texts {
            #expect(read(text) != nil && read(text) == expected(text), "\(text)")
        }
    }

    @Test func whatIsNoJSONIsNothing() {
        let texts = [
            "", " ", "nul", "nulll", "tru", "01", "+1", "1.", ".5", "1e", "1e+", "--1", "-", "0x10", "NaN", "Infinity",
            "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}",
            "{1:2}", "{\"a\" 1}", "\"", "\"a", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\n\"", "\"\t\"",
            "'a'",
            "[] []", "1 1", "\u{feff}[]", "1e999", "-1e999", "\"a\"\0", "\0",
        ]
        for text in texts { #expect(read(text) == nil, "\(text)") }
        for bytes: [UInt8] in [[0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xff]] {
            #expect(JSONValue(parsing: bytes) == nil, "\(bytes)")
        }
    }

    @Test func halfOfAPairIsAReplacementCharacter() {
        #expect(read(#""\ud800""#) == "\u{fffd}")
        #expect(read(#""a\udc80b""#) == "a\u{fffd}b")
        #expect(read(#""\ud800\u0041""#) == "\u{fffd}A")
        #expect(read(#""\ud800\ud83d\ude00""#) == "\u{fffd}😀")
    }

    @Test func depthIsLimited() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(read(nested(Limit.jsonDepthMax)) != nil)
        #expect(read(nested(Limit.jsonDepthMax + 1)) == nil)
        #expect(read(nested(60_000)) == nil)
        #expect(read(String(repeating: #"{"a":"#, count: 60_000)) == nil)
        // Beside one another is not deep.
        #expect(read("[" + Array(repeating: nested(10), count: 1000).joined(separator: ",") + "]") != nil)
        #expect(JSONShape(Array(nested(7).utf8)).depth == 7)
        #expect(JSONShape(Array(#"["[[[","\"[[",{}]"#.utf8)).depth == 2)
    }

    @Test func howManyValuesThereAreIsLimited() throws {
        let texts = [
            ("7", 1), (#""a,b:[{""#, 1), ("[]", 1), ("{}", 1), ("[1,2]", 3), (" [ true , null,-1.5e3\n] ", 4),
            (#"{"a":{"b":[]}}"#, 5),
            (#"["\"",{"a\\":1}]"#, 5), ("[[],[[]],{}]", 5),
        ]
        for (text, values) in texts {
            let bytes = Array(text.utf8)
            #expect(JSONShape(bytes).values == values, "\(text)")
            _ = try JSONReader.value(bytes, valuesMax: values)
            #expect(throws: JSONReader.Failure.tooMany, "\(text)") {
                try JSONReader.value(bytes, valuesMax: values - 1)
            }
        }
        func list(_ count: Int) -> String { "[" + String(repeating: "0,", count: count - 2) + "0]" }
        #expect(read(list(Limit.jsonValuesMax)) != nil)
        #expect(read(list(Limit.jsonValuesMax + 1)) == nil)
    }

    @Test func wholeNumbersOf64BitsSurviveAndLargerOnesAreDoubles() {
        let value: JSONValue = ["rows": .integer(.max)]
        #expect(JSONValue(parsing: value.utf8) == value)
        #expect(read("1E+2") == .number(100), "what is written as a fraction, or with an exponent, is no whole number")
        #expect(read("9223372036854775808") == .number(9_223_372_036_854_775_808))
        #expect(read("1" + String(repeating: "0", count: 300)) == .number(1e300))
        #expect(read("1" + String(repeating: "0", count: 400)) == nil)
    }

    @Test func ofEqualKeysTheLastHolds() { #expect(read(#"{"a":1,"a":2}"#) == ["a": 2]) }

    @Test func whatJSONLacksIsWrittenAsNull() {
        let value: JSONValue = .array([.number(.nan), .number(.infinity), .number(1.5)])
        #expect(String(decoding: value.utf8, as: UTF8.self) == "[null,null,1.5]")
    }
}
