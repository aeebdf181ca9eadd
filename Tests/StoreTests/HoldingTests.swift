import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes
private let page = Machine.pageBytes

@Suite struct HoldingTests {
    private func holding(_ store: SegmentStore, _ table: TableID) throws -> Holding {
        try #require(try store.holdings().first { $0.table == table })
    }

    @Test func sharedPagesAreNobodysAloneAndSpillWithTheLargerTable() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let whole = try store.publishColumns([0..<4 * huge], bytes: 4 * huge, by: "w1")
        var own = try holding(store, whole)
        #expect(own.namedBytes == 4 * huge && own.exclusiveBytes == 4 * huge && own.residentBytes == 4 * huge)
        #expect(own.spillableBytes == 4 * huge && own.isIdle && own.canSpill && !own.mustRestore)
        let part = try store.publishPart([page + 8..<huge], of: whole, by: "w2")
        own = try holding(store, whole)
        #expect(own.exclusiveBytes == 3 * huge + page && own.spillableBytes == 4 * huge)
        #expect(try holding(store, part).exclusiveBytes == 0)
        _ = store.lend(part, to: "w3")
        own = try holding(store, whole)
        #expect(own.spillableBytes == 3 * huge + page && own.canSpill)
        #expect(try !holding(store, part).isIdle && !holding(store, part).canSpill)
        try store.end("w3")
        try store.release(whole)
        let left = try holding(store, part)
        // A page that would have to be split off its 2 MiB page is kept.
        let resident = try store.usage().residentBytes
        #expect(left.exclusiveBytes == resident && left.spillableBytes == resident && resident <= huge)
    }

    @Test func aSealedSegmentIsFreeAsAWholeOrWhenItIsRewritten() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let whole = try store.publishColumns([0..<16 * huge], bytes: 16 * huge, by: "w1")
        #expect(try holding(store, whole).exclusiveBytes == 16 * huge)
        let part = try store.publishPart([0..<8 * huge], of: whole, by: "w2")
        // Half of it would stay: no page is given back for that.
        #expect(try holding(store, whole).exclusiveBytes == 0)
        #expect(try holding(store, whole).spillableBytes == 16 * huge)
        try store.release(part)
        let small = try store.publishPart([0..<800], of: whole, by: "w3")
        #expect(try holding(store, whole).exclusiveBytes >= 15 * huge)
        #expect(try holding(store, small).exclusiveBytes == 0)
        _ = store.lend(small, to: "w4")
        #expect(try holding(store, whole).spillableBytes >= 15 * huge)
    }

    @Test(arguments: everyLock) func aSpilledTableHoldsNoMemory(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let table = try store.publishColumns([0..<huge], bytes: 4 * huge, by: "w1")
        let work = try store.beginSpill(table, to: diskFolder())
        #expect(try !holding(store, table).isIdle, "it is on its way")
        try work.write()
        _ = store.finishSpill(work)
        let own = try holding(store, table)
        #expect(own.exclusiveBytes == 0 && own.residentBytes == 0 && own.diskBytes == huge && own.namedBytes == huge)
        #expect(own.isIdle && !own.canSpill && own.mustRestore == (lock == .sealed))
    }

    @Test func whatCanNotBeAFileIsKnownAfterATry() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let output = try store.makeOutputSegment(bytes: 2 * huge, for: "w1")
        var random = Generator(seed: 4)
        try output.file.fill(0..<huge, &random)
        let batch = [ColumnPlace(segment: output.id, range: 0..<huge)]
        let table = try store.publish([batch, batch, batch, batch], by: "w1")
        #expect(try holding(store, table).canSpill)
        #expect(throws: StoreError.self) { try store.beginSpill(table, to: diskFolder()) }
        #expect(try !holding(store, table).canSpill)
    }
}
