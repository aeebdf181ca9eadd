/// The depth of JSON, measured before a reader gets it that has no limit of its own.
enum JSONDepth {
    /// The most arrays and objects that are open at once, of bytes that need not be JSON. One pass, no memory.
    static func of(_ bytes: [UInt8]) -> Int {
        var (depth, most) = (0, 0)
        var (isText, isEscaped) = (false, false)
        for byte in bytes {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isText = true
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                most = max(most, depth)
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
        }
        return most
    }
}
