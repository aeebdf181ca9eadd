import Glibc
import SeededNumbers
import System
import Testing

@testable import Store

/// Files on a disk that workers write their results to.
@Suite struct RoomTests {
    private let named = [0..<8000, 8064..<16_064]

    /// A store whose worker `w1` has a room, filled with a byte.
    private func filled(_ lock: Lock, bytes: Int = 300_000) throws -> (SegmentStore, SegmentID, NewRoom) {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        _ = try Producer(store, "w1", bytes: 2 << 20)
        let room = try diskFolder().makeRoom()
        let id = store.add(room: room, for: "w1")
        let content = [UInt8](repeating: 0x42, count: bytes)
        try content.withUnsafeBytes { try room.file.descriptor.writeAll($0, at: 0) }
        return (store, id, room)
    }

    private func publish(_ store: SegmentStore, _ tables: [ColumnTable]) throws -> [TableID] {
        try store.publish(by: "w1", tables: tables.map { .init(descriptor: $0.descriptor, references: $0.references) })
    }

    private func table(_ id: SegmentID, bytes: Int = 300_000) throws -> ColumnTable {
        try ColumnTable([named.map { ColumnPlace(segment: id, range: $0) }], sizes: [id: bytes])
    }

    @Test(arguments: everyLock) func whatATableNamesIsThereAndNothingElse(lock: Lock) throws {
        let (store, id, _) = try filled(lock)
        let narrow = try ColumnTable([[ColumnPlace(segment: id, range: named[0])]], sizes: [id: 300_000])
        let wide = try ColumnTable([[ColumnPlace(segment: id, range: named[1])]], sizes: [id: 300_000])
        let tables = try publish(store, [narrow, wide])
        try store.end("w1")
        let content = try visible(store.view(of: tables[0]).segments[0].file, bytes: 300_000)
        #expect(content[named[0]].allSatisfy { $0 == 0x42 } && content[named[1]].allSatisfy { $0 == 0x42 })
        #expect(isZero(content, 8000..<8064) && isZero(content, 16_064..<300_000))
        #expect(try store.usage().residentBytes == 0 && store.usage().spilledBytes > 0)
        #expect(store.mustRestore(tables[0]) == (lock == .sealed))
        try store.release(tables[0])
        try store.release(tables[1])
        #expect(try store.usage().segments == 0 && store.usage().spilledBytes == 0)
    }

    @Test func aReaderCanNotWriteToIt() throws {
        let (store, id, _) = try filled(.readOnlyDescriptor)
        let tables = try publish(store, [try table(id, bytes: 300_000)])
        let file = store.lend(tables[0], to: "w2").segments[0].file
        #expect(throws: SystemError.self) { try file.descriptor.allocate(bytes: 10) }
        #expect(throws: SystemError.self) { _ = try Mapping(file.descriptor, count: 4096, access: .readWrite) }
    }

    @Test func aRoomThatNobodyNamesGoesWithItsWorker() throws {
        let (store, _, _) = try filled(.readOnlyDescriptor)
        _ = try publish(store, [])
        #expect(store.roomBytes(of: "w1") > 0)
        try store.end("w1")
        #expect(try store.roomBytes(of: "w1") == 0 && store.usage().segments == 0)
    }

    @Test(arguments: 0..<4) func aRoomThatWasTamperedWithIsRefused(way: Int) throws {
        let (store, id, room) = try filled(.readOnlyDescriptor)
        let bytes = way == 3 ? 1 << 40 : 300_000
        let table = try table(id, bytes: bytes)
        let work: PublishWork
        switch way {
        case 0:
            work = store.beginPublish(by: "w1")
            ftruncate(room.file.raw, 100)
        case 1:
            fchmod(room.file.raw, 0o666)
            work = store.beginPublish(by: "w1")
        case 2:
            work = store.beginPublish(by: "w1")
            ftruncate(room.file.raw, 400_000)
        default:
            // Nearly all a hole, which would be read for ever.
            ftruncate(room.file.raw, off_t(bytes))
            work = store.beginPublish(by: "w1")
        }
        let error = #expect(throws: StoreError.self) {
            try work.run([.init(descriptor: table.descriptor, references: table.references)])
        }
        #expect(error?.code == .tampered)
        #expect(throws: StoreError.self) { try store.finish(work) }
        try store.end("w1")
        #expect(try store.usage().segments == 0)
    }

    @Test func nobodyNamesAnothersRoomNorMoreThanThereIs() throws {
        let (store, id, _) = try filled(.readOnlyDescriptor)
        _ = try Producer(store, "w2", bytes: 2 << 20)
        let table = try table(id)
        #expect(throws: StoreError.self) {
            _ = try store.publish(by: "w2", descriptor: table.descriptor, references: table.references)
        }
        let beyond = try ColumnTable([[ColumnPlace(segment: id, range: 0..<300_008)]], sizes: [id: 300_008])
        let error = #expect(throws: StoreError.self) { _ = try publish(store, [beyond]) }
        #expect(error?.code == .badReference)
    }

    @Test(arguments: [ENOSPC, EDQUOT]) func aFullDiskIsSaid(code: Int32) throws {
        let folder = try diskFolder()
        let error = #expect(throws: StoreError.self) {
            try FaultPlan(.makeUnnamed, errno: code).apply { _ = try folder.makeRoom() }
        }
        #expect(error?.code == .diskFull && "\(error!)".contains(folder.path))
    }
}
