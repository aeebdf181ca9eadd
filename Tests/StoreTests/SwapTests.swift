import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes
private let page = Machine.pageBytes

/// One after the other: swap is the machine's.
@Suite(.serialized) struct SwapTests {
    private func figures(_ outcome: SwapOutcome) throws -> SwapFigures {
        guard case .swapped(let figures) = outcome else {
            throw StoreError(.unsuitable, nil, "it was not swapped: \(outcome)")
        }
        return figures
    }

    @Test(.enabled(if: (try? Machine.memory().swapBytesTotal) == 0, "for machines without swap"))
    func withoutSwapThereIsNoWay() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let table = try store.publishColumns([0..<huge], bytes: 2 * huge, by: "w1")
        let work = store.beginSwap(table)
        work.pageOut()
        let outcome = store.finishSwap(work)
        // Another test may have added some meanwhile.
        if try Machine.memory().swapBytesTotal > 0 { return }
        guard case .noWay("this machine has no swap") = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(!store.isRead(table))
    }

    @Test(.enabled(if: SwapFile.isPossible, "needs root and swapon"), arguments: everyLock)
    func whatOnlyOneTableNamesGoesToSwapAndComesBackTheSame(lock: Lock) throws {
        let swap = try SwapFile(bytes: 64 << 20)
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let table = try store.publishColumns([0..<4 * huge, 4 * huge..<8 * huge], bytes: 8 * huge, by: "w1")
        let part = try store.publishPart([0..<huge], of: table, by: "w2")
        let before = (try store.stream(of: table), try store.stream(of: part))
        let work = store.beginSwap(table)
        // Lending is possible meanwhile; what nobody touches goes all the same.
        work.pageOut()
        let figures = try figures(store.finishSwap(work))
        #expect(figures.residentBytes == 7 * huge)
        #expect(figures.freedBytes + figures.cachedBytes >= 6 * huge, "\(figures)")
        #expect(figures.freedBytes + figures.cachedBytes <= 7 * huge)
        #expect(figures.bytesPerSecond > 0)
        #expect(store.exclusiveBytes(of: table) == 7 * huge)
        #expect(try store.usage().residentBytes == 8 * huge, "in RAM and in swap")
        #expect(try store.usage().swappedBytes >= figures.freedBytes)
        let isTheSame = try same(before.0, store.stream(of: table)) && same(before.1, store.stream(of: part))
        #expect(isTheSame)
        // A reader brings it back without a word.
        _ = store.lend(table, to: "w3")
        #expect(try store.usage().swappedBytes == 0)
        withExtendedLifetime(swap) {}
    }

    @Test(.enabled(if: SwapFile.isPossible, "needs root and swapon"))
    func aDroppedLimitIsMeasuredAsPagingOutIs() throws {
        let swap = try SwapFile(bytes: 64 << 20)
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 64 << 20)
        let table = try store.publishColumns([0..<4 * huge], bytes: 4 * huge, by: "w1")
        let file = try #require(store.segments.values.first?.reader)
        let work = store.beginSwap(table)
        var asked = 0
        work.dropLimit { bytes in
            asked = bytes
            // Somebody moves half of it.
            guard let mapping = try? Mapping(file.descriptor, count: 4 * huge) else { return }
            try? mapping.advise(.populateRead, 0..<2 * huge)
            try? mapping.advise(.pageOut, 0..<2 * huge)
        }
        let figures = try figures(store.finishSwap(work))
        #expect(asked == 4 * huge && figures.residentBytes == 4 * huge)
        let moved = figures.freedBytes + figures.cachedBytes
        #expect(moved >= huge && moved <= 2 * huge)
        withExtendedLifetime(swap) {}
    }

    @Test(.enabled(if: SwapFile.isPossible, "needs root and swapon"))
    func aTableReleasedMeanwhileGoes() throws {
        let swap = try SwapFile(bytes: 64 << 20)
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let table = try store.publishColumns([0..<4 * huge], bytes: 4 * huge, by: "w1")
        let work = store.beginSwap(table)
        try store.release(table)
        #expect(store.contains(table))
        work.pageOut()
        _ = try figures(store.finishSwap(work))
        #expect(!store.contains(table))
        #expect(try store.usage().residentBytes == 0)
        withExtendedLifetime(swap) {}
    }
}
