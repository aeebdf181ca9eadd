import Glibc
import Store
import System
import Testing

private let huge = Machine.hugePageBytes
private let page = Machine.pageBytes

@Suite struct LifetimeTests {
    @Test func nineColumnsGoWhenOnlyTheTenthIsStillNamed() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 10 * huge)
        try producer.write(0..<10 * huge, 9)
        let columns = (0..<10).map { $0 * huge..<($0 + 1) * huge }
        let whole = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(columns))
        try store.end("w1")
        #expect(store.exclusiveBytes(of: whole) == 10 * huge)
        _ = try Producer(store, "w2")
        _ = store.lend(whole, to: "w2")
        var references = References()
        try references.add(producer.output.id, [columns[4]])
        let tenth = try store.publish(by: "w2", descriptor: anyDescriptor(), references: references)
        #expect(store.exclusiveBytes(of: whole) == 9 * huge && store.exclusiveBytes(of: tenth) == 0)
        try store.release(whole)
        // w2 may still read the whole table.
        #expect(store.contains(whole))
        #expect(try store.usage().residentBytes == 10 * huge)
        try store.end("w2")
        #expect(!store.contains(whole))
        #expect(try store.usage().namedBytes == huge)
        #expect(try store.usage().residentBytes == huge)
        let seen = try visible(store.lend(tenth, to: "w3").segments[0].file, bytes: 10 * huge)
        let isAsPublished = same(seen, masked(producer.content, [columns[4]]))
        #expect(isAsPublished)
        try store.end("w3")
        try store.release(tenth)
        #expect(try store.usage().segments == 0 && store.usage().tables == 0)
    }

    @Test(arguments: everyLock) func aWorkerThatFailsLeavesNothing(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1")
        try producer.write(0..<huge, 1)
        try store.end("w1")
        #expect(try store.usage().residentBytes == 0 && store.usage().segments == 0)
        // The peak was never looked at while it was there.
        #expect(try store.usage().residentBytesPeak == 0)
    }

    @Test func aSegmentNumberIsNeverUsedTwice() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 1 << 30)
        var seen: Set<SegmentID> = []
        for number in 0..<20 {
            let worker = BorrowerID(rawValue: "w\(number)")
            var producer = try Producer(store, worker)
            #expect(producer.output.id.rawValue != 0)
            #expect(seen.insert(producer.output.id).inserted)
            try producer.write(0..<huge, 1)
            try store.end(worker)
        }
    }

    @Test func memoryOfAFreeSegmentIsUsedAgainAllZero() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        var first = try Producer(store, "w1", bytes: 8 * huge)
        try first.write(0..<3 * huge, 0x77)
        let table = try store.publish(
            by: "w1", descriptor: anyDescriptor(), references: first.references([0..<3 * huge]))
        try store.end("w1")
        try store.release(table)
        #expect(try store.usage().pooledBytes == 3 * huge)
        let second = try Producer(store, "w2", bytes: 8 * huge)
        #expect(second.output.recycledBytes == 3 * huge)
        #expect(try second.output.file.descriptor.status().residentBytes == 3 * huge)
        let isAllZero = try isZero(visible(second.output.file, bytes: 8 * huge), 0..<8 * huge)
        #expect(isAllZero)
        #expect(try store.usage().pooledBytes == 0)
    }

    @Test func whatIsLeftInPiecesIsNotKept() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        var first = try Producer(store, "w1", bytes: 8 * huge)
        try first.write(5000..<huge + 100, 0x77)
        try first.write(2 * huge..<4 * huge + 5000, 0x77)
        try first.write(7 * huge - 1..<8 * huge, 0x77)
        try store.end("w1")
        let second = try Producer(store, "w2", bytes: 8 * huge)
        #expect(second.output.recycledBytes == 3 * huge)
        let isAllZero = try isZero(visible(second.output.file, bytes: 8 * huge), 0..<8 * huge)
        #expect(isAllZero)
    }

    @Test func theSmallestSufficientFileIsUsedAgainAtTheSizeAsked() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        for (worker, count) in [("a", 1), ("b", 4), ("c", 2)] {
            var producer = try Producer(store, BorrowerID(rawValue: worker), bytes: 8 * huge)
            try producer.write(0..<count * huge, 1)
        }
        for worker: BorrowerID in ["a", "b", "c"] { try store.end(worker) }
        #expect(try store.usage().pooledBytes == 7 * huge)
        let output = try store.makeOutputSegment(bytes: 16 * huge, for: "d", expectedBytes: huge + 1)
        #expect(output.recycledBytes == 2 * huge)
        #expect(try output.file.descriptor.status().bytes == 16 * huge)
        let small = try store.makeOutputSegment(bytes: huge, for: "e")
        #expect(try small.file.descriptor.status().bytes == huge)
        #expect(small.recycledBytes == huge)
    }

    @Test func thePoolStaysWithinItsLimit() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 3 * huge)
        for (worker, count) in [("a", 2), ("b", 2), ("c", 4)] {
            var producer = try Producer(store, BorrowerID(rawValue: worker), bytes: 8 * huge)
            try producer.write(0..<count * huge, 1)
        }
        for worker: BorrowerID in ["a", "b", "c"] { try store.end(worker) }
        #expect(try store.usage().pooledBytes == 2 * huge)
        store.limitPool(bytesMax: 0)
        #expect(try store.usage().pooledBytes == 0)
    }

    @Test func aModelGetsItsOwnMemoryAgain() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        for (worker, count) in [("a", 2), ("b", 3), ("c", 1)] {
            let output = try store.makeOutputSegment(
                bytes: 8 * huge, for: BorrowerID(rawValue: worker), model: "of \(worker)")
            let content = [UInt8](repeating: 1, count: count * huge)
            try content.withUnsafeBytes { bytes in try output.file.descriptor.writeAll(bytes, at: 0) }
        }
        for worker: BorrowerID in ["a", "b", "c"] { try store.end(worker) }
        let again = try store.makeOutputSegment(bytes: 8 * huge, for: "d", expectedBytes: huge, model: "of a")
        #expect(again.recycledBytes == 2 * huge)
        let other = try store.makeOutputSegment(bytes: 8 * huge, for: "e", expectedBytes: huge, model: "of e")
        #expect(other.recycledBytes == huge)
    }

    @Test func aModelThatNeedsLittleLeavesALargeFileToOthers() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 256 << 20)
        let output = try store.makeOutputSegment(bytes: 128 << 20, for: "a", model: "of a")
        let content = [UInt8](repeating: 1, count: 80 << 20)
        try content.withUnsafeBytes { bytes in try output.file.descriptor.writeAll(bytes, at: 0) }
        try store.end("a")
        let small = try store.makeOutputSegment(bytes: 128 << 20, for: "b", expectedBytes: huge, model: "of b")
        #expect(small.recycledBytes == 0)
        let own = try store.makeOutputSegment(bytes: 128 << 20, for: "c", expectedBytes: huge, model: "of a")
        #expect(own.recycledBytes == 80 << 20, "whatever it needs, the same model gets the same memory")
    }

    @Test(arguments: everyLock) func memoryAroundASmallResultIsUsedAgainAtOnce(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 64 << 20)
        var producer = try Producer(store, "w1", bytes: 8 * huge)
        try producer.write(0..<6 * huge, 0x5a)
        let ranges = [huge + 5..<huge + 70, 3 * huge - 100..<3 * huge + 4000]
        let table = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(ranges))
        try store.end("w1")
        #expect(try store.usage().pooledBytes == 6 * huge)
        #expect(store.extractedBytes == 65 + 4100)
        let reader = store.lend(table, to: "r").segments[0].file
        let isAsPublished = same(try visible(reader, bytes: 8 * huge), masked(producer.content, ranges))
        #expect(isAsPublished)
        // A new owner of the memory sees nothing of it, and its writing does not reach the table.
        let second = try store.makeOutputSegment(bytes: 8 * huge, for: "w2")
        #expect(second.recycledBytes == 6 * huge)
        let isAllZero = try isZero(visible(second.file, bytes: 8 * huge), 0..<8 * huge)
        #expect(isAllZero)
        let other = [UInt8](repeating: 0x11, count: 4 * huge)
        try other.withUnsafeBytes { bytes in try second.file.descriptor.writeAll(bytes, at: 0) }
        let isStillAsPublished = same(try visible(reader, bytes: 8 * huge), masked(producer.content, ranges))
        #expect(isStillAsPublished)
    }

    @Test func aFailedMoveLeavesTheResultWhereItIs() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        var producer = try Producer(store, "w1", bytes: 8 * huge)
        try producer.write(0..<6 * huge, 0x5a)
        let plan = FaultPlan(.writeAt, errno: ENOSPC)
        let (descriptor, references) = (try anyDescriptor(), try producer.references([0..<100]))
        let table = try plan.apply { try store.publish(by: "w1", descriptor: descriptor, references: references) }
        #expect(store.extractedBytes == 0)
        let reader = store.lend(table, to: "r").segments[0].file
        let isAsPublished = same(try visible(reader, bytes: 8 * huge), masked(producer.content, [0..<100]))
        #expect(isAsPublished)
    }

    private final class Companion {}

    @Test(arguments: everyLock) func whatIsAttachedToAnOutputGoesWithTheLastTableThatNamesIt(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 64 << 20)
        var companion: Companion? = Companion()
        weak let watched = companion
        var producer = try Producer(store, "w1", bytes: 4 * huge)
        store.attach(try #require(companion), toOutputOf: "w1")
        companion = nil
        try producer.write(0..<4 * huge, 1)
        let whole = try store.publish(
            by: "w1", descriptor: anyDescriptor(), references: producer.references([0..<4 * huge]))
        try store.end("w1")
        _ = try Producer(store, "w2")
        _ = store.lend(whole, to: "w2")
        var references = References()
        try references.add(producer.output.id, [huge..<2 * huge])
        let part = try store.publish(by: "w2", descriptor: anyDescriptor(), references: references)
        try store.end("w2")
        try store.release(whole)
        #expect(store.companions(of: part).count == 1 && watched != nil)
        try store.release(part)
        #expect(watched == nil)
    }

    @Test func memoryIsNotUsedAgainWhereThatIsNotWanted() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        var first = try Producer(store, "w1", bytes: 4 * huge)
        try first.write(0..<3 * huge, 0x77)
        try store.end("w1")
        let fresh = try store.makeOutputSegment(bytes: 4 * huge, for: "w2", recycles: false)
        #expect(try fresh.recycledBytes == 0 && store.usage().pooledBytes == 3 * huge)
        #expect(try store.makeOutputSegment(bytes: 4 * huge, for: "w3").recycledBytes == 3 * huge)
    }
}
