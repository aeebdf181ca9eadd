import Glibc
import System
import Testing

@testable import SIPC
@testable import Store

private let huge = Machine.hugePageBytes

/// A sealed segment of which two small ranges are live, each in a table.
@Suite struct CompactionTests {
    private let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
    private let first: TableID
    private let second: TableID
    private let segment: SegmentID
    private let before: [[UInt8]]

    init() throws {
        let whole = try store.publishColumns([0..<16 * huge], bytes: 16 * huge, by: "w1")
        segment = store.memorySegments(of: whole)[0]
        first = try store.publishPart([huge + 8..<huge + 5000], of: whole, by: "w2")
        second = try store.publishPart([7 * huge..<8 * huge + 96], of: whole, by: "w3")
        _ = store.lend(first, to: "w4")
        try store.release(whole)
        #expect(try store.compactable() == [], "w4 still reads it")
        try store.end("w4")
        #expect(try store.compactable() == [segment])
        before = try [store.stream(of: first), store.stream(of: second)]
    }

    /// Whether both tables are what they were.
    private func areIntact() throws -> Bool {
        try same(before[0], store.stream(of: first)) && same(before[1], store.stream(of: second))
    }

    @Test func aSealedSegmentOfWhichLittleIsLiveIsRewrittenWithAllItsTables() throws {
        let work = try store.beginCompaction(segment)
        #expect(try store.compactable() == [] && store.isBeingRewritten(first) && store.isBeingRewritten(second))
        #expect(!store.isRead(first) && !store.isRead(second))
        try work.run()
        guard case .moved(let figures) = store.finish(work) else {
            Issue.record("it was not moved")
            return
        }
        #expect(figures.bytes == 4992 + huge + 96 && figures.tables == 2 && figures.freedBytes == 16 * huge)
        #expect(try store.compactable() == [] && !store.isBeingRewritten(first))
        #expect(try store.usage().residentBytes <= 2 * huge && store.usage().segments == 1)
        #expect(try areIntact())
        #expect(try store.lend(first, to: "w5").segments[0].file.descriptor.seals() == .all)
    }

    @Test func tablesThatSomebodyGotMeanwhileStayAndTheOthersWithThem() throws {
        let work = try store.beginCompaction(segment)
        let loan = store.lend(second, to: "w5")
        try work.run()
        guard case .superseded = store.finish(work) else {
            Issue.record("it was moved")
            return
        }
        #expect(store.memorySegments(of: first) == [segment] && loan.segments.map(\.id) == [segment])
        #expect(try areIntact() && store.usage().segments == 1 && store.compactable() == [])
        try store.end("w5")
        #expect(try store.compactable() == [segment], "it can be tried again")
    }

    @Test(arguments: [true, false]) func aTableThatIsReleasedMeanwhileGoesAtOnce(isFirst: Bool) throws {
        let work = try store.beginCompaction(segment)
        try store.release(isFirst ? first : second)
        #expect(!store.contains(isFirst ? first : second))
        try work.run()
        _ = store.finish(work)
        if isFirst { #expect(try store.compactable() == [segment], "it can be tried again") }
        let left = isFirst ? second : first
        let isIntact = try same(before[isFirst ? 1 : 0], store.stream(of: left))
        #expect(isIntact)
        try store.release(left)
        #expect(try store.usage().segments == 0 && store.usage().tables == 0)
    }

    @Test func aTableThatIsSpilledMeanwhileIsOnTheDisk() throws {
        let work = try store.beginCompaction(segment)
        let spill = try store.beginSpill(second, to: diskFolder())
        try spill.run()
        try work.run()
        guard case .moved = store.finish(spill), case .moved(let figures) = store.finish(work) else {
            Issue.record("one of them was not moved")
            return
        }
        #expect(figures.tables == 1, "the other has left the segment")
        #expect(try areIntact() && !store.diskSegments(of: second).isEmpty && store.memorySegments(of: second).isEmpty)
    }

    @Test func anyCallMayFailAndNothingHasChanged() throws {
        let record = FaultPlan()
        let never = try store.beginCompaction(segment)
        try record.apply { try never.run() }
        _ = store.lend(first, to: "w5")
        _ = store.finish(never)
        try store.end("w5")
        var counts: [SystemCall: Int] = [:]
        for call in record.calls {
            counts[call, default: 0] += 1
            // Large pages and reading ahead are wishes.
            if call == .advise { continue }
            let work = try store.beginCompaction(segment)
            let plan = FaultPlan(call, occurrence: counts[call] ?? 0, errno: EIO)
            #expect(throws: StoreError.self) { try plan.apply { try work.run() } }
            guard case .failed = store.finish(work) else {
                Issue.record("it was moved, although \(plan.fired) failed")
                return
            }
            #expect(store.memorySegments(of: first) == [segment] && !store.isBeingRewritten(first))
        }
        #expect(try areIntact() && store.compactable() == [segment])
    }
}
