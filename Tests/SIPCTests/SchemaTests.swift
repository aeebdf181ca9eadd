import CArrow
import Testing

@testable import SIPC

@Suite struct SchemaTests {
    static let types: [DataType] = [
        .null, .boolean, .integer(bits: 8, signed: true), .integer(bits: 64, signed: false), .floatingPoint(bits: 16),
        .floatingPoint(bits: 32), .floatingPoint(bits: 64), .decimal(precision: 5, scale: -2, bits: 32),
        .decimal(precision: 30, scale: 3, bits: 128), .decimal(precision: 70, scale: 0, bits: 256), .date(.day),
        .date(.millisecond), .time(.second), .time(.millisecond), .time(.microsecond), .time(.nanosecond),
        .timestamp(.second, timezone: ""), .timestamp(.nanosecond, timezone: "Europe/Paris"), .duration(.second),
        .duration(.millisecond), .duration(.nanosecond), .interval(.yearMonth), .interval(.dayTime),
        .interval(.monthDayNano), .binary, .utf8, .largeBinary, .largeUtf8, .binaryView, .utf8View,
        .fixedSizeBinary(bytes: 0), .fixedSizeBinary(bytes: 16),
    ]

    private static func field(_ name: String, _ type: DataType, _ children: [Field] = []) -> Field {
        Field(name: name, nullable: true, type: type, children: children, dictionary: nil, metadata: [])
    }

    /// Every type once, flat and nested.
    static let schema: Schema = {
        var fields = types.map { field($0.name, $0) }
        let item = field("item", .utf8)
        let pair = [field("key", .utf8), field("value", .interval(.dayTime))]
        for type in [.list, .largeList, .listView, .largeListView, DataType.fixedSizeList(count: 3)] {
            fields.append(field(type.name, type, [item]))
        }
        fields.append(field("map", .map(keysSorted: true), [field("entries", .structure, pair)]))
        fields.append(field("sparse", .union(.sparse, typeIDs: [3, 7]), pair))
        fields.append(field("dense", .union(.dense, typeIDs: [0, 127]), pair))
        fields.append(field("runs", .runEndEncoded, [field("ends", .integer(bits: 16, signed: true)), item]))
        let tagged = Field(
            name: "", nullable: true, type: .utf8, children: [], dictionary: nil,
            metadata: [KeyValue(key: Array("ARROW:extension:name".utf8), value: Array("tag".utf8))])
        for (id, values) in [item, tagged].enumerated() {
            fields.append(
                Field(
                    name: "dictionary \(id)", nullable: false, type: .integer(bits: 8, signed: false), children: [],
                    dictionary: DictionaryField(id: Int64(id), ordered: id == 0, values: values),
                    metadata: [KeyValue(key: [1], value: [0xff])]))
        }
        return Schema(fields: fields, metadata: [KeyValue(key: Array("k".utf8), value: [])])
    }()

    private static func expectSame(_ first: Field, _ second: Field, names: Bool = true) {
        #expect(!names || first.name == second.name)
        #expect(first.nullable == second.nullable)
        #expect(first.type == second.type)
        #expect(first.metadata == second.metadata)
        #expect(first.children.count == second.children.count)
        for (first, second) in zip(first.children, second.children) { expectSame(first, second) }
        #expect((first.dictionary == nil) == (second.dictionary == nil))
        if let first = first.dictionary, let second = second.dictionary {
            #expect(first.ordered == second.ordered)
            expectSame(first.values, second.values, names: false)
        }
    }

    @Test func everyTypeSurvivesFlatBuffers() throws {
        var builder = FlatBufferBuilder()
        let root = Self.schema.write(to: &builder)
        let bytes = builder.finish(root)
        let read = try Schema(reading: FlatBuffer(bytes, 0..<bytes.count).root())
        #expect(read.metadata == Self.schema.metadata)
        for (read, field) in zip(read.fields, Self.schema.fields) { Self.expectSame(read, field) }
    }

    @Test func everyTypeSurvivesTheCInterface() throws {
        var raw = ArrowSchema()
        Self.schema.export(to: &raw)
        let read = try Schema(importing: &raw)
        raw.release(&raw)
        #expect(raw.release == nil)
        #expect(read.metadata == Self.schema.metadata)
        for (read, field) in zip(read.fields, Self.schema.fields) { Self.expectSame(read, field) }
    }

    @Test(arguments: ["", "x", "+", "w:-1", "w:", "d:1", "d:1,2,96", "tsx:", "+ud:200", "+ud:a", "+w:99999999999"])
    func unknownFormatStringsAreErrors(_ format: String) {
        #expect(throws: SIPCError.self) { try DataType(format: format, flags: 0, mapKeysSorted: 4) }
    }

    @Test func typesThatNestWithoutEndAreErrors() throws {
        var field = Self.field("x", .utf8)
        for _ in 0..<Schema.depthMax { field = Self.field("list", .list, [field]) }
        let deep = Schema(fields: [field], metadata: [])
        #expect(throws: SIPCError.self) { try deep.check() }
        var builder = FlatBufferBuilder()
        let root = deep.write(to: &builder)
        let bytes = builder.finish(root)
        #expect(throws: SIPCError.self) { try Schema(reading: FlatBuffer(bytes, 0..<bytes.count).root()) }
    }

    @Test func typesAreNamedAsPeopleReadThem() throws {
        let names = Dictionary(
            Self.schema.fields.map { ($0.name, $0.typeName) }, uniquingKeysWith: { first, _ in first })
        #expect(names["map"] == "map<string, day_time_interval>")
        #expect(names["dense"] == "dense_union<key: string, value: day_time_interval>")
        #expect(names["fixed_size_list"] == "fixed_size_list<string>[3]")
        #expect(names["dictionary 1"] == "dictionary<extension<tag>, uint8>")
    }
}
