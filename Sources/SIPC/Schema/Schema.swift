/// One key and its value; Arrow says nothing about the bytes.
public struct KeyValue: Sendable, Equatable {
    /// The key.
    public let key: [UInt8]
    /// The value.
    public let value: [UInt8]
}

/// A named column, or a child of one.
public struct Field: Sendable {
    /// The field's name; may be empty, may occur twice.
    public let name: String
    /// Whether a value may be absent.
    public let nullable: Bool
    /// The type; of a dictionary-encoded field, that of its indices.
    public let type: DataType
    /// The fields that the type is made of.
    public let children: [Field]
    /// The dictionary that the indices refer to, when the field is dictionary-encoded.
    public let dictionary: DictionaryField?
    /// The field's own metadata, in its order.
    public let metadata: [KeyValue]

    /// The type as people read it, children included: `list<int64>`, `dictionary<string, int32>`.
    public var typeName: String {
        let key = Array("ARROW:extension:name".utf8)
        if let name = metadata.first(where: { $0.key == key }) {
            return "extension<" + String(decoding: name.value, as: UTF8.self) + ">"
        }
        if let dictionary { return "dictionary<\(dictionary.values.typeName), \(type.name)>" }
        switch type {
        case .structure, .union:
            return type.name + "<" + children.map { "\($0.name): \($0.typeName)" }.joined(separator: ", ") + ">"
        case .fixedSizeList(let count):
            return "fixed_size_list<" + children.map(\.typeName).joined() + ">[\(count)]"
        case .map where children.first?.children.count == 2:
            return "map<" + children[0].children.map(\.typeName).joined(separator: ", ") + ">"
        default:
            return children.isEmpty
                ? type.name : type.name + "<" + children.map(\.typeName).joined(separator: ", ") + ">"
        }
    }
}

/// The dictionary of a field.
public final class DictionaryField: Sendable {
    /// The number that joins the field to its dictionary messages.
    public let id: Int64
    /// Whether the order of the indices is that of the values.
    public let ordered: Bool
    /// The values' field; its name means nothing.
    public let values: Field

    init(id: Int64, ordered: Bool, values: Field) {
        self.id = id
        self.ordered = ordered
        self.values = values
    }

    /// Arrow's metadata has one dictionary and one set of metadata per field. Values that have some of their own are
    /// therefore sent as the only child of a struct, and the field says so under this key.
    static let wrappedKey = Array("zerrow:dictionary_values".utf8)
    static let wrappedMark = KeyValue(key: wrappedKey, value: Array("wrapped".utf8))

    /// Whether the values need that struct.
    var isWrapped: Bool { values.dictionary != nil || !values.metadata.isEmpty }
}

/// The columns of a table.
public struct Schema: Sendable {
    /// The columns in their order.
    public let fields: [Field]
    /// The table's own metadata, in its order.
    public let metadata: [KeyValue]

    /// Types may nest this deep.
    public static let depthMax = 64

    /// Refuses types that no array could have: a list without a child, run ends that are text, nesting without end.
    func check() throws(SIPCError) {
        for field in fields { try Self.check(field, depth: 1) }
    }

    private static func check(_ field: Field, depth: Int) throws(SIPCError) {
        guard depth <= depthMax else {
            throw .malformed("column types nest deeper than \(depthMax) levels")
        }
        if let count = field.type.childCount, count != field.children.count {
            throw .malformed("a \(field.type.name) has \(field.children.count) children instead of \(count)")
        }
        switch field.type {
        case .map:
            guard field.children[0].type == .structure, field.children[0].children.count == 2 else {
                throw .malformed("a map's child is not a struct of two")
            }
        case .runEndEncoded:
            guard case .integer(let bits, signed: true) = field.children[0].type, bits >= 16,
                field.children[0].dictionary == nil
            else { throw .malformed("run ends are \(field.children[0].typeName), not int16, int32 or int64") }
        default: break
        }
        if let dictionary = field.dictionary {
            guard case .integer = field.type else {
                throw .malformed("dictionary indices are \(field.type.name), not integers")
            }
            try check(dictionary.values, depth: depth + (dictionary.isWrapped ? 2 : 1))
        }
        for child in field.children { try check(child, depth: depth + 1) }
    }
}
