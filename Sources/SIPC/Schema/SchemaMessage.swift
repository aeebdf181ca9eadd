// Arrow's Schema.fbs: the slots of its tables and the numbers of its type union.

private enum TypeNumber: UInt8 {
    case null = 1, int, floatingPoint, binary, utf8, bool, decimal, date, time, timestamp, interval, list, structure
    case union, fixedSizeBinary, fixedSizeList, map, duration, largeBinary, largeUtf8, largeList, runEndEncoded
    case binaryView, utf8View, listView, largeListView
}

extension Schema {
    /// Reads the table `Schema` of a FlatBuffer.
    init(reading table: FlatTable) throws(SIPCError) {
        guard try table.scalar(0, default: Int16(0)) == 0 else {
            throw SIPCError(.unsupported, "the table's data is big-endian")
        }
        var fields: [Field] = []
        if let vector = try table.vector(1, elementBytes: 4) {
            fields.reserveCapacity(vector.count)
            for index in 0..<vector.count { fields.append(try Field(reading: vector.table(index), depth: 1)) }
        }
        self.init(fields: fields, metadata: try KeyValue.read(table, slot: 2))
        try check()
    }

    /// Writes the table `Schema`.
    func write(to builder: inout FlatBufferBuilder) -> FlatBufferBuilder.Offset {
        let fieldOffsets = builder.vector(fields.map { $0.write(to: &builder) })
        let metadataOffset = KeyValue.write(metadata, to: &builder)
        builder.startTable(slots: 4)
        builder.add(1, fieldOffsets)
        builder.add(2, metadataOffset)
        return builder.endTable()
    }
}

extension KeyValue {
    static func read(_ table: FlatTable, slot: Int) throws(SIPCError) -> [KeyValue] {
        guard let vector = try table.vector(slot, elementBytes: 4) else { return [] }
        var pairs: [KeyValue] = []
        for index in 0..<vector.count {
            let pair = try vector.table(index)
            pairs.append(KeyValue(key: Array(try pair.string(0) ?? []), value: Array(try pair.string(1) ?? [])))
        }
        return pairs
    }

    static func write(_ pairs: [KeyValue], to builder: inout FlatBufferBuilder) -> FlatBufferBuilder.Offset? {
        guard !pairs.isEmpty else { return nil }
        var offsets: [FlatBufferBuilder.Offset] = []
        for pair in pairs {
            let key = builder.string(pair.key)
            let value = builder.string(pair.value)
            builder.startTable(slots: 2)
            builder.add(0, key)
            builder.add(1, value)
            offsets.append(builder.endTable())
        }
        return builder.vector(offsets)
    }
}

extension Field {
    fileprivate init(reading table: FlatTable, depth: Int) throws(SIPCError) {
        guard depth <= Schema.depthMax else {
            throw .malformed("column types nest deeper than \(Schema.depthMax) levels")
        }
        let name = String(decoding: try table.string(0) ?? [], as: UTF8.self)
        let nullable = try table.bool(1)
        let type = try DataType(reading: table)
        var children: [Field] = []
        if let vector = try table.vector(5, elementBytes: 4) {
            for index in 0..<vector.count { children.append(try Field(reading: vector.table(index), depth: depth + 1)) }
        }
        var metadata = try KeyValue.read(table, slot: 6)
        guard let encoding = try table.table(4) else {
            self.init(
                name: name, nullable: nullable, type: type, children: children, dictionary: nil, metadata: metadata)
            return
        }
        var values = Field(name: "", nullable: true, type: type, children: children, dictionary: nil, metadata: [])
        if let mark = metadata.firstIndex(of: DictionaryField.wrappedMark) {
            guard type == .structure, children.count == 1 else {
                throw .malformed("field \"\(name)\" says its dictionary is wrapped, but it is no struct of one")
            }
            metadata.remove(at: mark)
            values = children[0]
            guard values.dictionary != nil || !values.metadata.isEmpty else {
                throw .malformed("field \"\(name)\" wraps a dictionary that needs no wrapping")
            }
        }
        var indices = DataType.integer(bits: 32, signed: true)
        if let index = try encoding.table(1) { indices = try DataType.integer(reading: index) }
        guard try encoding.scalar(3, default: Int16(0)) == 0 else {
            throw SIPCError(.unsupported, "field \"\(name)\" has a dictionary of an unknown kind")
        }
        let dictionary = DictionaryField(
            id: try encoding.scalar(0, default: Int64(0)), ordered: try encoding.bool(2), values: values)
        self.init(
            name: name, nullable: nullable, type: indices, children: [], dictionary: dictionary, metadata: metadata)
    }

    fileprivate func write(to builder: inout FlatBufferBuilder) -> FlatBufferBuilder.Offset {
        var valueType = type
        var valueChildren = children
        var pairs = metadata
        if let dictionary {
            valueType = dictionary.isWrapped ? .structure : dictionary.values.type
            valueChildren = dictionary.isWrapped ? [dictionary.values] : dictionary.values.children
            if dictionary.isWrapped { pairs.append(DictionaryField.wrappedMark) }
        }
        let metadataOffset = KeyValue.write(pairs, to: &builder)
        let childrenOffset = builder.vector(valueChildren.map { $0.write(to: &builder) })
        var encodingOffset: FlatBufferBuilder.Offset?
        if let dictionary {
            let (_, index) = type.write(to: &builder)
            builder.startTable(slots: 4)
            builder.add(0, dictionary.id)
            builder.add(1, index)
            builder.add(2, dictionary.ordered)
            encodingOffset = builder.endTable()
        }
        let (number, typeOffset) = valueType.write(to: &builder)
        let nameOffset = builder.string(name.utf8)
        builder.startTable(slots: 7)
        builder.add(0, nameOffset)
        builder.add(3, typeOffset)
        builder.add(4, encodingOffset)
        builder.add(5, childrenOffset)
        builder.add(6, metadataOffset)
        builder.add(1, nullable)
        builder.add(2, number)
        return builder.endTable()
    }
}

extension DataType {
    fileprivate static func integer(reading table: FlatTable) throws(SIPCError) -> DataType {
        let bits = try table.scalar(0, default: Int32(0))
        guard [8, 16, 32, 64].contains(bits) else { throw .malformed("an integer type has \(bits) bits") }
        return .integer(bits: Int(bits), signed: try table.bool(1))
    }

    /// Reads the union `Type` of a table `Field`.
    fileprivate init(reading field: FlatTable) throws(SIPCError) {
        let raw = try field.scalar(2, default: UInt8(0))
        guard let number = TypeNumber(rawValue: raw), let table = try field.table(3) else {
            throw .malformed("a field has no type, or one of unknown number \(raw)")
        }
        switch number {
        case .null: self = .null
        case .bool: self = .boolean
        case .binary: self = .binary
        case .utf8: self = .utf8
        case .largeBinary: self = .largeBinary
        case .largeUtf8: self = .largeUtf8
        case .binaryView: self = .binaryView
        case .utf8View: self = .utf8View
        case .list: self = .list
        case .largeList: self = .largeList
        case .listView: self = .listView
        case .largeListView: self = .largeListView
        case .structure: self = .structure
        case .runEndEncoded: self = .runEndEncoded
        case .map: self = .map(keysSorted: try table.bool(0))
        case .int: self = try Self.integer(reading: table)
        default: self = try Self.parameterized(number, table)
        }
    }

    private static func parameterized(_ number: TypeNumber, _ table: FlatTable) throws(SIPCError) -> DataType {
        switch number {
        case .floatingPoint:
            return .floatingPoint(bits: 16 << Int(try Self.unit(table, 0, 0, 2)))
        case .decimal:
            let bits = try table.scalar(2, default: Int32(128))
            guard [32, 64, 128, 256].contains(bits) else { throw .malformed("a decimal type has \(bits) bits") }
            return .decimal(
                precision: try table.scalar(0, default: 0), scale: try table.scalar(1, default: 0), bits: Int(bits))
        case .date: return .date(try unit(table, 0, 1, 1) == 0 ? .day : .millisecond)
        case .time:
            let type = DataType.time(try timeUnit(table, default: 1))
            let bits = try table.scalar(1, default: Int32(32))
            guard type.layout == .fixed(bytes: Int(bits) / 8) else {
                throw .malformed("a \(type.name) type has \(bits) bits")
            }
            return type
        case .timestamp:
            return .timestamp(
                try timeUnit(table, default: 0), timezone: String(decoding: try table.string(1) ?? [], as: UTF8.self))
        case .duration: return .duration(try timeUnit(table, default: 1))
        case .interval: return .interval(IntervalUnit(rawValue: try unit(table, 0, 0, 2)) ?? .yearMonth)
        case .fixedSizeBinary: return .fixedSizeBinary(bytes: try size(table, "fixed-size binary"))
        case .fixedSizeList: return .fixedSizeList(count: try size(table, "fixed-size list"))
        case .union: return try union(table)
        default: preconditionFailure("type \(number) has no parameters")
        }
    }

    private static func unit(
        _ table: FlatTable, _ slot: Int, _ omitted: Int16, _ most: Int16
    ) throws(SIPCError) -> Int16 {
        let unit = try table.scalar(slot, default: omitted)
        guard unit >= 0, unit <= most else { throw .malformed("a type has the unknown unit or precision \(unit)") }
        return unit
    }

    private static func timeUnit(_ table: FlatTable, default omitted: Int16) throws(SIPCError) -> TimeUnit {
        TimeUnit(rawValue: try unit(table, 0, omitted, 3)) ?? .second
    }

    private static func size(_ table: FlatTable, _ what: String) throws(SIPCError) -> Int {
        let size = try table.scalar(0, default: Int32(0))
        guard size >= 0 else { throw .malformed("a \(what) has the size \(size)") }
        return Int(size)
    }

    private static func union(_ table: FlatTable) throws(SIPCError) -> DataType {
        guard let ids = try table.vector(1, elementBytes: 4) else {
            throw SIPCError(.unsupported, "a union without type ids")
        }
        var typeIDs: [Int32] = []
        for index in 0..<ids.count {
            let id = try ids.load(index, as: Int32.self)
            guard (0...127).contains(id) else { throw .malformed("a union has the type id \(id)") }
            typeIDs.append(id)
        }
        return .union(try unit(table, 0, 0, 1) == 0 ? .sparse : .dense, typeIDs: typeIDs)
    }

    /// Writes the type's own table, and returns its number in the union with the table's offset.
    fileprivate func write(to builder: inout FlatBufferBuilder) -> (UInt8, FlatBufferBuilder.Offset) {
        var timezoneOffset: FlatBufferBuilder.Offset?
        if case .timestamp(_, let timezone) = self, !timezone.isEmpty { timezoneOffset = builder.string(timezone.utf8) }
        var idsOffset: FlatBufferBuilder.Offset?
        if case .union(_, let ids) = self { idsOffset = builder.vector(ids) }
        builder.startTable(slots: 3)
        switch self {
        case .integer(let bits, let signed):
            builder.add(0, Int32(bits))
            builder.add(1, signed)
        case .floatingPoint(let bits): builder.add(0, Int16(bits == 16 ? 0 : bits == 32 ? 1 : 2))
        case .decimal(let precision, let scale, let bits):
            builder.add(0, precision)
            builder.add(1, scale)
            builder.add(2, Int32(bits), default: 128)
        case .date(let unit): builder.add(0, unit.rawValue, default: 1)
        case .time(let unit):
            builder.add(1, Int32(unit.rawValue < 2 ? 32 : 64), default: 32)
            builder.add(0, unit.rawValue, default: 1)
        case .timestamp(let unit, _):
            builder.add(1, timezoneOffset)
            builder.add(0, unit.rawValue)
        case .duration(let unit): builder.add(0, unit.rawValue, default: 1)
        case .interval(let unit): builder.add(0, unit.rawValue)
        case .fixedSizeBinary(let bytes): builder.add(0, Int32(bytes))
        case .fixedSizeList(let count): builder.add(0, Int32(count))
        case .map(let sorted): builder.add(0, sorted)
        case .union(let mode, _):
            builder.add(1, idsOffset)
            builder.add(0, mode.rawValue)
        default: break
        }
        return (number.rawValue, builder.endTable())
    }

    private var number: TypeNumber {
        switch self {
        case .null: .null
        case .boolean: .bool
        case .integer: .int
        case .floatingPoint: .floatingPoint
        case .decimal: .decimal
        case .date: .date
        case .time: .time
        case .timestamp: .timestamp
        case .duration: .duration
        case .interval: .interval
        case .binary: .binary
        case .utf8: .utf8
        case .largeBinary: .largeBinary
        case .largeUtf8: .largeUtf8
        case .binaryView: .binaryView
        case .utf8View: .utf8View
        case .fixedSizeBinary: .fixedSizeBinary
        case .list: .list
        case .largeList: .largeList
        case .listView: .listView
        case .largeListView: .largeListView
        case .fixedSizeList: .fixedSizeList
        case .structure: .structure
        case .map: .map
        case .union: .union
        case .runEndEncoded: .runEndEncoded
        }
    }
}
