/// The unit of a date.
public enum DateUnit: Int16, Sendable { case day, millisecond }

/// The unit of a time, timestamp or duration.
public enum TimeUnit: Int16, Sendable, CaseIterable {
    case second, millisecond, microsecond, nanosecond

    var symbol: String { ["s", "ms", "us", "ns"][Int(rawValue)] }
}

/// The parts of an interval.
public enum IntervalUnit: Int16, Sendable { case yearMonth, dayTime, monthDayNano }

/// How a union lays out its children.
public enum UnionMode: Int16, Sendable { case sparse, dense }

/// A type of the Arrow columnar format, without its children.
public enum DataType: Sendable, Equatable {
    case null
    case boolean
    case integer(bits: Int, signed: Bool)
    case floatingPoint(bits: Int)
    case decimal(precision: Int32, scale: Int32, bits: Int)
    case date(DateUnit)
    case time(TimeUnit)
    case timestamp(TimeUnit, timezone: String)
    case duration(TimeUnit)
    case interval(IntervalUnit)
    case binary, utf8, largeBinary, largeUtf8, binaryView, utf8View
    case fixedSizeBinary(bytes: Int)
    case list, largeList, listView, largeListView
    case fixedSizeList(count: Int)
    case structure
    case map(keysSorted: Bool)
    case union(UnionMode, typeIDs: [Int32])
    case runEndEncoded
}

extension DataType {
    /// How many children a type has, or nil when it may have any number.
    var childCount: Int? {
        switch self {
        case .structure: nil
        case .union(_, let typeIDs): typeIDs.count
        case .list, .largeList, .listView, .largeListView, .fixedSizeList, .map: 1
        case .runEndEncoded: 2
        default: 0
        }
    }

    /// How the buffers of one array of this type lie in memory.
    var layout: Layout {
        switch self {
        case .null: .null
        case .boolean: .bits
        case .integer(let bits, _), .floatingPoint(let bits), .decimal(_, _, let bits): .fixed(bytes: bits / 8)
        case .date(let unit): .fixed(bytes: unit == .day ? 4 : 8)
        case .time(let unit): .fixed(bytes: unit.rawValue < TimeUnit.microsecond.rawValue ? 4 : 8)
        case .timestamp, .duration: .fixed(bytes: 8)
        case .interval(let unit): .fixed(bytes: [4, 8, 16][Int(unit.rawValue)])
        case .fixedSizeBinary(let bytes): .fixed(bytes: bytes)
        case .binary, .utf8: .variable(offsetBytes: 4)
        case .largeBinary, .largeUtf8: .variable(offsetBytes: 8)
        case .binaryView, .utf8View: .view
        case .list, .map: .list(offsetBytes: 4)
        case .largeList: .list(offsetBytes: 8)
        case .listView: .listView(offsetBytes: 4)
        case .largeListView: .listView(offsetBytes: 8)
        case .fixedSizeList(let count): .fixedSizeList(count: count)
        case .structure: .structure
        case .union(.sparse, _): .sparseUnion
        case .union(.dense, _): .denseUnion
        case .runEndEncoded: .runEnd
        }
    }

    /// The name people know the type by, without its children.
    var name: String {
        switch self {
        case .null: "null"
        case .boolean: "bool"
        case .integer(let bits, let signed): (signed ? "int" : "uint") + String(bits)
        case .floatingPoint(let bits): bits == 16 ? "halffloat" : bits == 32 ? "float" : "double"
        case .decimal(let precision, let scale, let bits): "decimal\(bits)(\(precision), \(scale))"
        case .date(let unit): unit == .day ? "date32" : "date64"
        case .time(let unit): (unit.rawValue < 2 ? "time32" : "time64") + "[\(unit.symbol)]"
        case .timestamp(let unit, let timezone):
            "timestamp[\(unit.symbol)" + (timezone.isEmpty ? "]" : ", tz=\(timezone)]")
        case .duration(let unit): "duration[\(unit.symbol)]"
        case .interval(let unit):
            ["month_interval", "day_time_interval", "month_day_nano_interval"][Int(unit.rawValue)]
        case .binary: "binary"
        case .utf8: "string"
        case .largeBinary: "large_binary"
        case .largeUtf8: "large_string"
        case .binaryView: "binary_view"
        case .utf8View: "string_view"
        case .fixedSizeBinary(let bytes): "fixed_size_binary[\(bytes)]"
        case .list: "list"
        case .largeList: "large_list"
        case .listView: "list_view"
        case .largeListView: "large_list_view"
        case .fixedSizeList: "fixed_size_list"
        case .structure: "struct"
        case .map: "map"
        case .union(let mode, _): mode == .sparse ? "sparse_union" : "dense_union"
        case .runEndEncoded: "run_end_encoded"
        }
    }
}

/// The buffers that an array has, apart from its type: what is needed to find, check and export them.
enum Layout: Equatable {
    case null
    /// Validity, values one bit each.
    case bits
    /// Validity, values of a fixed width.
    case fixed(bytes: Int)
    /// Validity, length + 1 offsets, data.
    case variable(offsetBytes: Int)
    /// Validity, 16-byte views, any number of data buffers.
    case view
    /// Validity, length + 1 offsets; one child.
    case list(offsetBytes: Int)
    /// Validity, offsets, sizes; one child.
    case listView(offsetBytes: Int)
    /// Validity; one child.
    case fixedSizeList(count: Int)
    /// Validity; children of the same length.
    case structure
    /// Type ids; children of the same length.
    case sparseUnion
    /// Type ids, 32-bit offsets; children of any length.
    case denseUnion
    /// No buffers; run ends and values as children.
    case runEnd

    /// Whether the first buffer is a validity bitmap.
    var hasValidity: Bool {
        switch self {
        case .null, .sparseUnion, .denseUnion, .runEnd: false
        default: true
        }
    }

    /// How many buffers an array has, the data buffers of views aside.
    var bufferCount: Int {
        switch self {
        case .null, .runEnd: 0
        case .fixedSizeList, .structure, .sparseUnion: 1
        case .bits, .fixed, .view, .list, .denseUnion: 2
        case .variable, .listView: 3
        }
    }
}
