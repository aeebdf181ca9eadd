/// The name of a table of a catalog: its own, and its namespace's.
public struct TableName: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The namespace.
    public let namespace: String
    /// The table's own name in it.
    public let name: String

    private static let bytesMax = 255

    /// A name; nil for parts that are empty, too long, or have a dot or a control character.
    public init?(namespace: String, name: String) {
        guard Self.isPart(namespace), Self.isPart(name) else { return nil }
        self.namespace = namespace
        self.name = name
    }

    /// Reads `namespace.name`; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        self.init(namespace: String(parts[0]), name: String(parts[1]))
    }

    /// `namespace.name`.
    public var description: String { "\(namespace).\(name)" }

    /// The order of the texts' bytes.
    public static func < (left: TableName, right: TableName) -> Bool {
        left.description.utf8.lexicographicallyPrecedes(right.description.utf8)
    }

    private static func isPart(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= bytesMax
            && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ".") }
    }

    /// The folders that the table's files are in, relative to the warehouse's: two names that no text can lead out of.
    var folders: [String] { [Self.folder(namespace), Self.folder(name)] }

    private static let folderBytesMax = 160

    /// A part as the name of a folder: letters, digits and underscores as they are, other bytes as %2F. Of a long one the end is replaced by
    /// a number that is made of all of it; should two have one folder, their files still have names of their own.
    private static func folder(_ part: String) -> String {
        var text = ""
        for byte in part.utf8 {
            if isPlain(byte) {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                let digits = String(byte, radix: 16, uppercase: true)
                text += "%" + (digits.count < 2 ? "0" : "") + digits
            }
        }
        guard text.utf8.count > folderBytesMax else { return text }
        // FNV-1a.
        let sum = part.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        return text.prefix(folderBytesMax - 20) + "-" + String(sum, radix: 16)
    }

    static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

extension TableName: Codable {
    /// Reads `namespace.name`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let name = TableName(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no name of a table")
        }
        self = name
    }

    /// Writes `namespace.name`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
