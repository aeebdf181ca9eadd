import SeededNumbers
import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes
private let page = Machine.pageBytes

@Suite struct SharingTests {
    @Test func sharedPagesAreNobodysAloneAndChargedToTheOldestTable() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let whole = try store.publishColumns([0..<4 * huge], bytes: 4 * huge, by: "w1")
        #expect(store.exclusiveBytes(of: whole) == 4 * huge && !store.mustRestore(whole))
        let part = try store.publishPart([page + 8..<huge], of: whole, by: "w2")
        #expect(store.exclusiveBytes(of: whole) == 3 * huge + page && store.exclusiveBytes(of: part) == 0)
        #expect(store.chargedBytes(of: whole, inMemory: true) == 4 * huge)
        #expect(store.chargedBytes(of: part, inMemory: true) == 0)
        try store.release(whole)
        #expect(store.chargedBytes(of: part, inMemory: true) == huge - page - 8)
        #expect(store.exclusiveBytes(of: part) == huge - page)
    }

    @Test(arguments: everyLock) func aSpilledTableIsChargedNoMemory(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let table = try store.publishColumns([0..<huge], bytes: 4 * huge, by: "w1")
        let work = try store.beginSpill(table, to: diskFolder())
        #expect(store.isRead(table), "it is on its way")
        try work.run()
        _ = store.finish(work)
        #expect(!store.isRead(table) && store.mustRestore(table) == (lock == .sealed))
        #expect(store.chargedBytes(of: table, inMemory: true) == 0)
        #expect(store.chargedBytes(of: table, inMemory: false) == huge)
    }

    /// By the definition, each table against each other one.
    private func check(_ named: [(table: TableID, ranges: RangeSet)], _ comment: Comment) {
        let sharing = Sharing(named)
        for (table, ranges) in named {
            let older = named.filter { $0.table < table }.reduce(ranges) { $0.subtracting($1.ranges) }
            #expect(sharing.chargedBytes[table] ?? 0 == older.bytes, comment)
            let others = named.filter { $0.table != table }
            let alone = others.reduce(ranges.inWholePages()) { $0.subtracting($1.ranges.inWholePages()) }
            #expect(sharing.exclusive[table] == alone, comment)
        }
    }

    @Test(arguments: 1..<200 as Range<UInt64>) func eachByteIsChargedToTheOldestTableThatNamesIt(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let bytesMax = page * Int.random(in: 1...40, using: &random)
        let named = (1...UInt64.random(in: 1...12, using: &random)).shuffled(using: &random).map { number in
            let ranges = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                let lower = Int.random(in: 0..<bytesMax, using: &random) / 8 * 8
                return lower..<Int.random(in: lower...bytesMax, using: &random)
            }
            return (table: TableID(rawValue: number), ranges: RangeSet(ranges))
        }
        check(named, "seed \(seed)")
        let sharing = Sharing(named)
        let union = named.reduce(RangeSet()) { $0.union($1.ranges) }
        #expect(sharing.chargedBytes.values.reduce(0, +) == union.bytes, "each byte once")
    }

    @Test func thousandsOfTablesOfOneSegmentAreLookedAtOnce() {
        // Each names a page of its own, half of the next one, and the first: by comparing each with each it would take minutes.
        let count = 30_000
        let named = (0..<count).map { number in
            let start = (number + 1) * page
            return (TableID(rawValue: UInt64(number + 1)), RangeSet([0..<page, start..<start + page + page / 2]))
        }
        let sharing = Sharing(named)
        #expect(sharing.chargedBytes[TableID(rawValue: 1)] == 2 * page + page / 2)
        #expect(sharing.chargedBytes[TableID(rawValue: 2)] == page)
        #expect(sharing.chargedBytes.values.reduce(0, +) == (count + 1) * page + page / 2)
        #expect(sharing.exclusive[TableID(rawValue: 1)]?.bytes == page)
        #expect(sharing.exclusive[TableID(rawValue: 2)]?.isEmpty == true)
    }
}
