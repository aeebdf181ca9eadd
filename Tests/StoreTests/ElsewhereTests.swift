import Glibc
import SIPC
import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes

/// What takes its time is not done by the store's calls where somebody else does it.
@Suite struct ElsewhereTests {
    /// Does chores when it is told to.
    private final class Chores {
        var waiting: [(chore: StoreChore, work: @Sendable () -> Void, then: () -> Void)] = []

        func take(_ chore: StoreChore, _ work: @escaping @Sendable () -> Void, _ then: @escaping () -> Void) {
            waiting.append((chore, work, then))
        }

        func run() {
            while !waiting.isEmpty {
                let (_, work, then) = waiting.removeFirst()
                work()
                then()
            }
        }
    }

    private let chores = Chores()

    private func store(_ lock: Lock, poolBytesMax: Int = 0) -> SegmentStore {
        SegmentStore(lock: lock, poolBytesMax: poolBytesMax) { [chores] in chores.take($0, $1, $2) }
    }

    @Test(arguments: everyLock) func releasingATableFreesItsMemoryElsewhere(lock: Lock) throws {
        let store = store(lock)
        let table = try store.publishColumns([0..<huge], bytes: 4 * huge, by: "w1")
        let file = try #require(store.view(of: table).segments.first?.file)
        chores.run()
        try store.release(table)
        #expect(!store.contains(table) && !chores.waiting.isEmpty)
        #expect(try store.usage().segments == 0)
        chores.run()
        _ = file
    }

    @Test func pagesOfASegmentThatStaysAreFreedElsewhereOrWithTheNextRelease() throws {
        let store = store(.readOnlyDescriptor)
        var producer = try Producer(store, "w1", bytes: 4 * huge)
        try producer.write(0..<4 * huge, 1)
        let tables = try store.publish(
            by: "w1",
            tables: try (0..<4).map { number in
                .init(
                    descriptor: try anyDescriptor(),
                    references: try producer.references([number * huge..<(number + 1) * huge]))
            })
        try store.end("w1")
        chores.run()
        try store.release(tables[0])
        #expect(try store.usage().residentBytes == 4 * huge, "not yet")
        chores.run()
        #expect(try store.usage().residentBytes == 3 * huge)
        try store.release(tables[1])
        FaultPlan(.punchHole, errno: ENOMEM).apply { chores.run() }
        #expect(try store.usage().residentBytes == 3 * huge, "it failed")
        try store.release(tables[2])
        chores.run()
        #expect(try store.usage().residentBytes == huge, "and goes with the next one")
    }

    @Test func aFileOfThePoolIsGivenAwayWhenItIsZero() throws {
        let store = store(.readOnlyDescriptor, poolBytesMax: 64 << 20)
        var first = try Producer(store, "w1")
        try first.write(0..<2 * huge, 7)
        try store.end("w1")
        #expect(chores.waiting.map(\.chore) == [.clean])
        let second = try Producer(store, "w2")
        #expect(second.output.recycledBytes == 0, "it is not clean yet")
        chores.run()
        let third = try Producer(store, "w3")
        #expect(third.output.recycledBytes == 2 * huge)
        let isClean = try isZero(visible(third.output.file, bytes: third.output.bytes), 0..<2 * huge)
        #expect(isClean)
    }

    @Test func pagesThatWereToBeFreedStayInAFileThatIsUsedAgain() throws {
        let store = store(.readOnlyDescriptor, poolBytesMax: 64 << 20)
        var producer = try Producer(store, "w1")
        try producer.write(0..<2 * huge, 7)
        try producer.collapse(0..<2 * huge)
        let tables = try store.publish(
            by: "w1",
            tables: try (0..<2).map { number in
                .init(
                    descriptor: try anyDescriptor(),
                    references: try producer.references([number * huge..<(number + 1) * huge]))
            })
        try store.end("w1")
        chores.run()
        for table in tables { try store.release(table) }
        #expect(!chores.waiting.contains { $0.chore == .clean }, "its pages are about to be freed")
        let late = chores.waiting
        chores.waiting = []
        for chore in late {
            chore.work()
            chore.then()
        }
        #expect(chores.waiting.map(\.chore) == [.clean])
        chores.run()
        var next = try Producer(store, "w2")
        #expect(next.output.recycledBytes == 2 * huge, "no page was freed")
        try next.write(0..<2 * huge, 9)
        // A work that comes too late does nothing to what the next worker writes.
        for chore in late { chore.work() }
        let isIntact = same(try visible(next.output.file, bytes: next.output.bytes), next.content)
        #expect(isIntact)
    }

    @Test func aFileThatLeavesThePoolWhileItIsZeroedIsGivenToNobody() throws {
        let store = store(.readOnlyDescriptor, poolBytesMax: 64 << 20)
        var first = try Producer(store, "w1")
        try first.write(0..<2 * huge, 7)
        try store.end("w1")
        store.limitPool(bytesMax: 0)
        store.limitPool(bytesMax: 64 << 20)
        chores.run()
        #expect(store.pooledBytes == 0)
        #expect(try Producer(store, "w2").output.recycledBytes == 0)
    }

    @Test func aFileThatCannotBeZeroedLeavesThePool() throws {
        let store = store(.readOnlyDescriptor, poolBytesMax: 64 << 20)
        var first = try Producer(store, "w1")
        try first.write(0..<2 * huge, 7)
        try store.end("w1")
        FaultPlan(.map, errno: ENOMEM).apply { chores.run() }
        #expect(store.pooledBytes == 0)
        #expect(try Producer(store, "w2").output.recycledBytes == 0)
    }
}
