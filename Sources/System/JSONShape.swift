/// How deep JSON goes and how much it holds, measured before a reader gets it that has no limits of its own.
public struct JSONShape: Equatable, Sendable {
    /// The most arrays and objects that are open at once.
    public private(set) var depth = 0
    /// How many values there are: texts, keys among them, numbers, words, arrays and objects. Each may cost its reader a hundred times its bytes.
    public private(set) var values = 0

    /// Measures bytes that need not be JSON. One pass, no memory.
    public init(_ bytes: [UInt8]) {
        var open = 0
        var (isText, isEscaped, isBare) = (false, false, false)
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
            // A number or a word goes on up to one of these.
            let wasBare = isBare
            isBare = false
            switch byte {
            case UInt8(ascii: "\""):
                isText = true
                values += 1
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                open += 1
                depth = max(depth, open)
                values += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): open -= 1
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x20, 0x09, 0x0a, 0x0d: break
            default:
                isBare = true
                if !wasBare { values += 1 }
            }
        }
    }
}
