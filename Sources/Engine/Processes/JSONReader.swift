/// Reads JSON that may come from a hostile process, in time and memory in proportion to its bytes: how deep it goes and how many values
/// it holds, keys among them, are limited.
///
/// It takes what RFC 8259 allows, and half of a surrogate pair as the replacement character, which Python's paths and messages
/// may bring. Of two equal keys the last one holds. A number that doesn't fit 64 bits is a double; one that no double holds is an error.
struct JSONReader {
    /// Why bytes are not read.
    enum Failure: Error, Equatable {
        /// They are not JSON.
        case malformed
        /// They nest deeper than is allowed.
        case tooDeep
        /// They hold more values than are allowed.
        case tooMany
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private let depthMax: Int
    private let valuesMax: Int
    private var at = 0
    private var depth = 0
    private var values = 0

    /// Reads the one value that the bytes are.
    static func value(
        _ bytes: [UInt8], depthMax: Int = Limit.jsonDepthMax, valuesMax: Int = Limit.jsonValuesMax
    ) throws(Failure) -> JSONValue {
        let result = bytes.withUnsafeBufferPointer { bytes -> Result<JSONValue, Failure> in
            var reader = JSONReader(bytes: bytes, depthMax: depthMax, valuesMax: valuesMax)
            do throws(Failure) {
                let value = try reader.value()
                reader.skipSpace()
                return reader.at == bytes.count ? .success(value) : .failure(.malformed)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private init(bytes: UnsafeBufferPointer<UInt8>, depthMax: Int, valuesMax: Int) {
        self.bytes = bytes
        self.depthMax = depthMax
        self.valuesMax = valuesMax
    }

    /// The byte at hand, 0 at the end: JSON has no such byte except in its escaped form.
    private var byte: UInt8 { at < bytes.count ? bytes[at] : 0 }

    private mutating func skipSpace() {
        while at < bytes.count {
            switch bytes[at] {
            case 0x20, 0x09, 0x0a, 0x0d: at += 1
            default: return
            }
        }
    }

    /// Passes over a byte, if it is the one at hand.
    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    private mutating func value() throws(Failure) -> JSONValue {
        skipSpace()
        try count()
        switch byte {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(Failure) -> JSONValue {
        let count = word.utf8CodeUnitCount
        guard bytes.count - at >= count, (0..<count).allSatisfy({ bytes[at + $0] == word.utf8Start[$0] }) else {
            throw .malformed
        }
        at += count
        return value
    }

    /// Counts a value or a key.
    private mutating func count() throws(Failure) {
        values += 1
        guard values <= valuesMax else { throw .tooMany }
    }

    private mutating func enter() throws(Failure) {
        at += 1
        depth += 1
        guard depth <= depthMax else { throw .tooDeep }
    }

    private mutating func array() throws(Failure) -> JSONValue {
        try enter()
        defer { depth -= 1 }
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return .array(elements) }
        while true {
            elements.append(try value())
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw .malformed }
        }
    }

    private mutating func object() throws(Failure) -> JSONValue {
        try enter()
        defer { depth -= 1 }
        var members: [String: JSONValue] = [:]
        skipSpace()
        if take("}") { return .object(members) }
        while true {
            skipSpace()
            try count()
            let key = try string()
            skipSpace()
            guard take(":") else { throw .malformed }
            members[key] = try value()
            skipSpace()
            if take("}") { return .object(members) }
            guard take(",") else { throw .malformed }
        }
    }

    // MARK: - Numbers

    private mutating func number() throws(Failure) -> JSONValue {
        let start = at
        _ = take("-")
        if !take("0") { guard digits() else { throw .malformed } }
        var isWhole = true
        if take(".") {
            isWhole = false
            guard digits() else { throw .malformed }
        }
        if take("e") || take("E") {
            isWhole = false
            if !take("+") { _ = take("-") }
            guard digits() else { throw .malformed }
        }
        let text = String(decoding: bytes[start..<at], as: UTF8.self)
        if isWhole, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw .malformed }
        return .number(value)
    }

    /// Passes over digits; false if there are none.
    private mutating func digits() -> Bool {
        let start = at
        while at < bytes.count, UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[at] { at += 1 }
        return at > start
    }

    // MARK: - Texts

    private mutating func string() throws(Failure) -> String {
        guard take("\"") else { throw .malformed }
        let start = at
        while at < bytes.count, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") {
            at += 1
        }
        if byte == UInt8(ascii: "\"") {
            let text = String(validating: bytes[start..<at], as: UTF8.self)
            at += 1
            guard let text else { throw .malformed }
            return text
        }
        var content = Array(bytes[start..<at])
        while !take("\"") {
            // The end of the bytes, and what has to be escaped, read as 0 or are below the space.
            guard byte >= 0x20 else { throw .malformed }
            if take("\\") {
                try escaped(&content)
            } else {
                content.append(bytes[at])
                at += 1
            }
        }
        guard let text = String(validating: content, as: UTF8.self) else { throw .malformed }
        return text
    }

    private mutating func escaped(_ content: inout [UInt8]) throws(Failure) {
        let kind = byte
        at += 1
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(kind)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0c)
        case UInt8(ascii: "n"): content.append(0x0a)
        case UInt8(ascii: "r"): content.append(0x0d)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"): content += Array(String(Character(try unicode())).utf8)
        default: throw .malformed
        }
    }

    /// The scalar of the digits after `\u`, and of a second such escape if the two are a pair.
    private mutating func unicode() throws(Failure) -> Unicode.Scalar {
        let first = try hexadecimal()
        if 0xd800..<0xdc00 ~= first, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
            bytes[at + 1] == UInt8(ascii: "u")
        {
            let back = at
            at += 2
            let second = try hexadecimal()
            if 0xdc00..<0xe000 ~= second {
                return Unicode.Scalar(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)) ?? "\u{fffd}"
            }
            at = back
        }
        return Unicode.Scalar(first) ?? "\u{fffd}"
    }

    private mutating func hexadecimal() throws(Failure) -> UInt32 {
        guard bytes.count - at >= 4 else { throw .malformed }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue else { throw .malformed }
            value = value << 4 | UInt32(digit)
            at += 1
        }
        return value
    }
}
