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
    private func check(_ sharing: Sharing, _ named: [TableID: RangeSet], _ comment: Comment) {
        for (table, ranges) in named {
            let older = named.filter { $0.key < table }.reduce(ranges) { $0.subtracting($1.value) }
            #expect(sharing.chargedBytes[table] ?? 0 == older.bytes, comment)
            let others = named.filter { $0.key != table }
            let alone = others.reduce(ranges.inWholePages()) { $0.subtracting($1.value.inWholePages()) }
            #expect(sharing.exclusive(of: ranges) == alone && sharing.exclusiveBytes(of: table) == alone.bytes, comment)
        }
        let union = named.values.reduce(RangeSet()) { $0.union($1) }
        #expect(sharing.named == union, comment)
        #expect(sharing.chargedBytes.values.reduce(0, +) == union.bytes, "each byte once")
    }

    @Test(arguments: 1..<200 as Range<UInt64>) func eachByteIsChargedToTheOldestTableThatNamesIt(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let bytesMax = page * Int.random(in: 1...40, using: &random)
        var sharing = Sharing()
        var named: [TableID: RangeSet] = [:]
        func figures() -> [TableID: [Int]] {
            named.reduce(into: [:]) {
                $0[$1.key] = [sharing.chargedBytes[$1.key] ?? 0, sharing.exclusiveBytes(of: $1.key)]
            }
        }
        for step in 0..<40 {
            let before = figures()
            let table: TableID
            let changed: Set<TableID>
            if let gone = named.keys.sorted().randomElement(using: &random), Int.random(in: 0..<5, using: &random) < 2 {
                table = gone
                let ranges = named.removeValue(forKey: gone)!
                changed = sharing.remove(gone, ranges) { named[$0] ?? RangeSet() }
            } else {
                table = TableID(rawValue: UInt64.random(in: 1...1000, using: &random))
                if named[table] != nil { continue }
                let ranges = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    let lower = Int.random(in: 0..<bytesMax, using: &random) / 8 * 8
                    return lower..<Int.random(in: lower...bytesMax, using: &random)
                }
                named[table] = RangeSet(ranges)
                changed = sharing.add(table, RangeSet(ranges))
            }
            check(sharing, named, "seed \(seed), step \(step)")
            let after = figures()
            let different = Set(before.keys.filter { after[$0] != nil && before[$0] != after[$0] })
            #expect(different.isSubset(of: changed), "seed \(seed), step \(step): \(different) are not told of")
        }
    }

    @Test func thousandsOfTablesOfOneSegmentComeOneByOne() {
        // Each names a page of its own, half of the next one, and the first: by comparing each with each it would take minutes.
        let count = 30_000
        let named = (0..<count).map { number in
            let start = (number + 1) * page
            return (TableID(rawValue: UInt64(number + 1)), RangeSet([0..<page, start..<start + page + page / 2]))
        }
        var sharing = Sharing()
        for (table, ranges) in named { _ = sharing.add(table, ranges) }
        #expect(sharing.chargedBytes[TableID(rawValue: 1)] == 2 * page + page / 2)
        #expect(sharing.chargedBytes[TableID(rawValue: 2)] == page)
        #expect(sharing.chargedBytes.values.reduce(0, +) == (count + 1) * page + page / 2)
        #expect(sharing.exclusiveBytes(of: TableID(rawValue: 1)) == page)
        #expect(sharing.exclusiveBytes(of: TableID(rawValue: 2)) == 0)
    }
}
