import Scheduler
import Testing

/// Which table goes, and how, where several would do.
@Suite struct EvictionCostTests {
    private static let all: Set<ResourceManager.Way> = [.drop, .spill, .swap, .limit]

    /// What is evicted when half of the engine's 200 bytes are needed, and two tables hold all of them.
    private static func evicted(
        _ tables: [ResourceManager.TableFacts], rates: ResourceManager.Rates = .init()
    ) -> [ResourceManager.Action] {
        var manager = ResourceManager(limits: .init(memoryBytesMax: 200, slots: 2))
        _ = manager.handle([.measured(rates), .runBegan(1, priority: 5, slots: 2, memoryBytesMax: nil)])
        for (model, table) in tables.enumerated() {
            _ = manager.handle(.tableHeld(.table(run: 1, model: model), table))
        }
        return manager.handle(.asked(.init(run: 1, model: 9, rank: 9, expectedBytes: 100)))
    }

    private static func table(
        _ recompute: Double? = nil, _ ways: Set<ResourceManager.Way> = all, nextUse: Int? = 0
    ) -> ResourceManager.TableFacts {
        .init(bytes: 100, recomputeSeconds: recompute, ways: ways, nextUse: nextUse, owner: 1)
    }

    private static let rates = ResourceManager.Rates(
        spillBytesPerSecond: 100, restoreBytesPerSecond: 100, swapOutBytesPerSecond: 50, swapInBytesPerSecond: 200,
        limitBytesPerSecond: 200)

    private static func key(_ model: Int) -> ResourceManager.TableKey { .table(run: 1, model: model) }

    @Test(arguments: [(0.7, ResourceManager.Way.drop), (0.8, .limit)])
    func theCheapestWayIsTaken(_ recompute: Double, _ way: ResourceManager.Way) {
        // Spill 2 s, swap 2.5 s, limit 1 s; a rerun counts twice, so that 0.7 s are 1.4 s.
        let limit: Set<ResourceManager.Way> = recompute < 0.75 ? [.drop, .spill, .swap] : Self.all
        let action = Self.evicted([Self.table(recompute, limit), Self.table(recompute, [])], rates: Self.rates)
        #expect(action == [.evict(Self.key(0), way)])
    }

    @Test func whatCannotBeRunAgainIsNotDropped() {
        let action = Self.evicted([Self.table(nil, [.drop, .swap]), Self.table(nil, [.drop])], rates: Self.rates)
        #expect(action == [.evict(Self.key(0), .swap)])
    }

    @Test func whatIsReadLastGoesFirst() {
        let action = Self.evicted([Self.table(nextUse: 1), Self.table(nextUse: 3)])
        #expect(action == [.evict(Self.key(1), .spill)])
    }

    @Test func whatIsCheapestToHaveBackGoesFirst() {
        let tables = [Self.table(2, [.drop]), Self.table(1, [.drop])]
        #expect(Self.evicted(tables) == [.evict(Self.key(1), .drop)])
    }

    @Test func aDistantReaderOutweighsASmallDifference() {
        let tables = [Self.table(2, [.drop], nextUse: 3), Self.table(1, [.drop], nextUse: 0)]
        #expect(Self.evicted(tables) == [.evict(Self.key(0), .drop)])
    }

    @Test func distancesShrinkAsModelsAreGranted() {
        var manager = ResourceManager(limits: .init(memoryBytesMax: 200, slots: 2))
        for run in 1...2 { _ = manager.handle(.runBegan(run, priority: 5, slots: 2, memoryBytesMax: nil)) }
        for (run, nextUse) in [(1, 3), (2, 2)] {
            var table = Self.table(nextUse: nextUse)
            table.owner = run
            _ = manager.handle(.tableHeld(.table(run: run, model: 0), table))
        }
        // Two models of run 1 later its table is read sooner than that of run 2.
        for model in 1...2 {
            _ = manager.handle(.asked(.init(run: 1, model: model, rank: model, expectedBytes: 0)))
            _ = manager.handle(.givenBack(1, model: model))
        }
        let ask = ResourceManager.Ask(run: 1, model: 9, rank: 9, expectedBytes: 100)
        #expect(manager.handle(.asked(ask)) == [.evict(.table(run: 2, model: 0), .spill)])
    }

    @Test func theCacheThatWasReadLongestAgoGoesFirst() {
        var manager = ResourceManager(limits: .init(memoryBytesMax: 200, slots: 2))
        _ = manager.handle(.runBegan(1, priority: 5, slots: 2, memoryBytesMax: nil))
        for cache in 0...1 {
            _ = manager.handle(.tableHeld(.cache(cache), .init(bytes: 100, recomputeSeconds: 1, ways: [.drop])))
        }
        _ = manager.handle(.tableUsed(.cache(0), nextUse: nil))
        let ask = ResourceManager.Ask(run: 1, model: 9, rank: 9, expectedBytes: 100)
        #expect(manager.handle(.asked(ask)) == [.evict(.cache(1), .drop)])
    }
}
