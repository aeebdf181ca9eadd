import Testing

@testable import SIPC

@Suite struct FlatBufferTests {
    @Test func whatIsBuiltIsReadBack() throws {
        var builder = FlatBufferBuilder(capacity: 16)
        let text = builder.string("héllo".utf8)
        let numbers = builder.vector([Int64.min, 0, .max])
        let bytes = builder.vector([UInt8(1), 2, 3])
        builder.startTable(slots: 1)
        builder.add(0, Int16(-5))
        let inner = builder.endTable()
        let tables = builder.vector([inner, inner])
        builder.startTable(slots: 8)
        builder.add(0, text)
        builder.add(1, numbers)
        builder.add(2, tables)
        builder.add(3, Int64(1) << 40)
        builder.add(4, true)
        builder.add(5, bytes)
        builder.add(6, Int32(7), default: 7)
        let root = builder.endTable()
        let built = builder.finish(root)
        #expect(built.count % 8 == 0)

        let table = try FlatBuffer(built, 0..<built.count).root()
        #expect(String(decoding: try #require(try table.string(0)), as: UTF8.self) == "héllo")
        let readNumbers = try #require(try table.vector(1, elementBytes: 8))
        #expect(readNumbers.start % 8 == 0)
        #expect(try (0..<3).map { try readNumbers.load($0, as: Int64.self) } == [.min, 0, .max])
        let readTables = try #require(try table.vector(2, elementBytes: 4))
        #expect(try readTables.table(1).scalar(0, default: Int16(0)) == -5)
        #expect(try table.scalar(3, default: Int64(0)) == 1 << 40)
        #expect(try table.bool(4))
        #expect(try table.vector(5, elementBytes: 1)?.count == 3)
        #expect(try table.scalar(6, default: Int32(7)) == 7)
        #expect(try table.scalar(7, default: Int32(9)) == 9)
        #expect(try table.string(20) == nil)
    }

    @Test func offsetsThatLeaveTheBufferAreErrors() throws {
        for bytes: [UInt8] in [
            [], [1], [0xff, 0xff, 0xff, 0xff], [4, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f],
            [4, 0, 0, 0, 0, 0, 0, 0x80, 1, 1, 1, 1], [4, 0, 0, 0, 0, 0, 0, 0],
        ] {
            #expect(throws: SIPCError.self) { try FlatBuffer(bytes, 0..<bytes.count).root() }
        }
    }

    /// Each level holds one vector that names the level below 64 times: 64 to the power of 20 visits.
    @Test func aSmallBufferThatUnfoldsWithoutEndIsAnError() throws {
        var builder = FlatBufferBuilder()
        builder.startTable(slots: 7)
        var field = builder.endTable()
        for _ in 0..<20 {
            let children = builder.vector(Array(repeating: field, count: 64))
            builder.startTable(slots: 7)
            builder.add(5, children)
            field = builder.endTable()
        }
        let bytes = builder.finish(field)
        func visit(_ table: FlatTable) throws {
            guard let children = try table.vector(5, elementBytes: 4) else { return }
            for index in 0..<children.count { try visit(children.table(index)) }
        }
        #expect(throws: SIPCError.self) { try visit(FlatBuffer(bytes, 0..<bytes.count).root()) }
    }
}
