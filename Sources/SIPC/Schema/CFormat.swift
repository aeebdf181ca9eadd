// The format strings of the Arrow C data interface:
// https://arrow.apache.org/docs/format/CDataInterface.html#data-type-description-format-strings

private let fixedFormats: [(String, DataType)] = [
    ("n", .null), ("b", .boolean),
    ("c", .integer(bits: 8, signed: true)), ("C", .integer(bits: 8, signed: false)),
    ("s", .integer(bits: 16, signed: true)), ("S", .integer(bits: 16, signed: false)),
    ("i", .integer(bits: 32, signed: true)), ("I", .integer(bits: 32, signed: false)),
    ("l", .integer(bits: 64, signed: true)), ("L", .integer(bits: 64, signed: false)),
    ("e", .floatingPoint(bits: 16)), ("f", .floatingPoint(bits: 32)), ("g", .floatingPoint(bits: 64)),
    ("z", .binary), ("Z", .largeBinary), ("vz", .binaryView),
    ("u", .utf8), ("U", .largeUtf8), ("vu", .utf8View),
    ("tdD", .date(.day)), ("tdm", .date(.millisecond)),
    ("tts", .time(.second)), ("ttm", .time(.millisecond)), ("ttu", .time(.microsecond)), ("ttn", .time(.nanosecond)),
    ("tDs", .duration(.second)), ("tDm", .duration(.millisecond)),
    ("tDu", .duration(.microsecond)), ("tDn", .duration(.nanosecond)),
    ("tiM", .interval(.yearMonth)), ("tiD", .interval(.dayTime)), ("tin", .interval(.monthDayNano)),
    ("+l", .list), ("+L", .largeList), ("+vl", .listView), ("+vL", .largeListView),
    ("+s", .structure), ("+r", .runEndEncoded),
]

private let formatToType = Dictionary(uniqueKeysWithValues: fixedFormats)

extension DataType {
    /// The type that a format string and the flags beside it name.
    init(format: String, flags: Int64, mapKeysSorted: Int64) throws(SIPCError) {
        if let type = formatToType[format] {
            self = type
            return
        }
        if format == "+m" {
            self = .map(keysSorted: flags & mapKeysSorted != 0)
            return
        }
        guard let colon = format.firstIndex(of: ":"),
            let type = Self.parse(format[..<colon], format[format.index(after: colon)...])
        else { throw .invalidTable("the Arrow C format string \"\(format.prefix(80))\" names no type") }
        self = type
    }

    private static func parse(_ head: Substring, _ arguments: Substring) -> DataType? {
        switch head {
        case "w": return Int32(arguments).flatMap { $0 < 0 ? nil : .fixedSizeBinary(bytes: Int($0)) }
        case "+w": return Int32(arguments).flatMap { $0 < 0 ? nil : .fixedSizeList(count: Int($0)) }
        case "d":
            let parts = arguments.split(separator: ",", omittingEmptySubsequences: false).map { Int32($0) }
            guard parts.count == 2 || parts.count == 3, let precision = parts[0], let scale = parts[1] else {
                return nil
            }
            guard let bits = parts.count == 2 ? 128 : parts[2], [32, 64, 128, 256].contains(bits) else { return nil }
            return .decimal(precision: precision, scale: scale, bits: Int(bits))
        case "tss": return .timestamp(.second, timezone: String(arguments))
        case "tsm": return .timestamp(.millisecond, timezone: String(arguments))
        case "tsu": return .timestamp(.microsecond, timezone: String(arguments))
        case "tsn": return .timestamp(.nanosecond, timezone: String(arguments))
        case "+ud", "+us":
            var ids: [Int32] = []
            for part in arguments.split(separator: ",") {
                guard let id = Int32(part), (0...127).contains(id) else { return nil }
                ids.append(id)
            }
            return .union(head == "+ud" ? .dense : .sparse, typeIDs: ids)
        default: return nil
        }
    }

    /// The format string of this type.
    var format: String {
        switch self {
        case .decimal(let precision, let scale, let bits):
            return bits == 128 ? "d:\(precision),\(scale)" : "d:\(precision),\(scale),\(bits)"
        case .fixedSizeBinary(let bytes): return "w:\(bytes)"
        case .fixedSizeList(let count): return "+w:\(count)"
        case .timestamp(let unit, let timezone):
            return "ts" + ["s", "m", "u", "n"][Int(unit.rawValue)] + ":" + timezone
        case .union(let mode, let ids):
            return (mode == .dense ? "+ud:" : "+us:") + ids.map(String.init).joined(separator: ",")
        case .map: return "+m"
        default:
            guard let format = fixedFormats.first(where: { $0.1 == self })?.0 else { preconditionFailure("\(self)") }
            return format
        }
    }
}
