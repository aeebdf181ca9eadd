import Scheduler
import Testing

/// What is granted, evicted and refused where memory is short.
@Suite struct ResourceMemoryTests {
    /// One run (number 1) on an engine with enough slots.
    private static func manager(engine: Int? = nil, run: Int? = nil) -> ResourceManager {
        var manager = ResourceManager(limits: .init(memoryBytesMax: engine, slots: 9))
        _ = manager.handle(.runBegan(1, priority: 5, slots: 9, memoryBytesMax: run))
        return manager
    }

    private static func ask(
        _ model: Int, _ bytes: Int, run: Int = 1, limit: Int? = nil, inputs: [Int] = [], isRetry: Bool = false,
        seconds: Double? = nil
    ) -> ResourceManager.Event {
        .asked(
            .init(
                run: run, model: model, rank: model, expectedBytes: bytes, memoryBytesMax: limit,
                inputs: inputs.map { .table(run: run, model: $0) }, isRetry: isRetry, expectedSeconds: seconds))
    }

    private static func held(
        _ model: Int, _ bytes: Int, run: Int = 1, ways: Set<ResourceManager.Way> = [.spill], recompute: Double? = nil,
        nextUse: Int? = 0
    ) -> ResourceManager.Event {
        .tableHeld(
            .table(run: run, model: model),
            .init(bytes: bytes, recomputeSeconds: recompute, ways: ways, nextUse: nextUse, owner: run))
    }

    private static func grant(_ model: Int, _ expected: Int, max: Int?, run: Int = 1) -> ResourceManager.Action {
        .grant(run, model: model, .init(memoryBytesMax: max, expectedBytes: expected))
    }

    private static func key(_ model: Int, run: Int = 1) -> ResourceManager.TableKey { .table(run: run, model: model) }

    @Test func withoutALimitEverythingFits() {
        var manager = Self.manager()
        #expect(manager.handle(Self.ask(0, 1 << 50)) == [Self.grant(0, 1 << 50, max: nil)])
        #expect(manager.handle(Self.ask(1, 1 << 50, limit: 7)) == [Self.grant(1, 7, max: 7)])
        for model in 2..<6 {
            #expect(manager.handle(Self.ask(model, Int.max, isRetry: model == 3)).count == (model == 3 ? 0 : 1))
        }
    }

    @Test(arguments: [true, false]) func whatDoesNotFitWaits(_ isOfRun: Bool) {
        var manager = isOfRun ? Self.manager(run: 100) : Self.manager(engine: 100)
        #expect(manager.handle(Self.ask(0, 60)) == [Self.grant(0, 60, max: 100)])
        #expect(manager.handle(Self.ask(1, 60)) == [])
        #expect(manager.handle(Self.ask(2, 30)) == [Self.grant(2, 30, max: 40)])
        #expect(manager.handle(.givenBack(1, model: 0)) == [Self.grant(1, 60, max: 70)])
    }

    @Test func aModelReservesNoMoreThanItsOwnLimit() {
        var manager = Self.manager(engine: 100)
        #expect(manager.handle(Self.ask(0, 60, limit: 20)) == [Self.grant(0, 20, max: 20)])
        #expect(manager.handle(Self.ask(1, 80)) == [Self.grant(1, 80, max: 80)])
    }

    @Test func aTableCountsOnceWhileItsMakerIsNotOver() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.ask(0, 60))
        _ = manager.handle(.used(1, model: 0, bytes: 50))
        _ = manager.handle(Self.held(0, 40, ways: []))
        #expect(manager.handle(Self.ask(1, 41)) == [])
        #expect(manager.handle(Self.ask(2, 40)) == [Self.grant(2, 40, max: 40)])
        #expect(manager.handle(.givenBack(1, model: 0)) == [])
        #expect(manager.handle(Self.ask(3, 20)) == [Self.grant(3, 20, max: 20)])
    }

    @Test func noMoreIsEvictedThanIsNeeded() {
        var manager = Self.manager(engine: 100)
        for (model, bytes) in [(0, 30), (1, 20), (2, 40)] { _ = manager.handle(Self.held(model, bytes)) }
        #expect(manager.handle(Self.ask(5, 30)) == [.evict(Self.key(1), .spill)])
        #expect(
            manager.handle(.evicted(Self.key(1), .spill, bytesFreed: 20)) == [Self.grant(5, 30, max: 100)])
    }

    @Test func roomIsMadeForWhoReadsMostOfWhatIsInMemory() {
        // Model 5 begins a chain; model 6, less urgent, ends one.
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 40))
        _ = manager.handle(Self.held(1, 40))
        let ask = ResourceManager.Event.asked(
            .init(run: 1, model: 6, rank: 6, expectedBytes: 50, inputs: [Self.key(1)]))
        #expect(manager.handle([Self.ask(5, 50), ask]) == [.evict(Self.key(0), .spill)])
        let granted = manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 40))
        #expect(granted.contains { if case .grant(1, model: 6, _) = $0 { true } else { false } }, "\(granted)")
    }

    @Test func whatLaterEvictionsMakeNeedlessIsLeftOut() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 10, nextUse: 9))
        _ = manager.handle(Self.held(1, 40))
        _ = manager.handle(Self.held(2, 40))
        #expect(
            manager.handle(Self.ask(5, 85)) == [.evict(Self.key(1), .spill), .evict(Self.key(2), .spill)])
    }

    @Test func thePoolIsShrunkFirst() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 30))
        _ = manager.handle(.pool(bytes: 60))
        #expect(manager.handle(Self.ask(1, 30)) == [.shrinkPool(bytesMax: 40)])
        #expect(manager.handle(.pool(bytes: 40)) == [Self.grant(1, 30, max: 100)])
    }

    @Test func aPoolThatCannotShrinkIsLeftAlone() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 30))
        _ = manager.handle(.pool(bytes: 60))
        _ = manager.handle(Self.ask(1, 30))
        #expect(manager.handle(.pool(bytes: 60)) == [.evict(Self.key(0), .spill)])
        #expect(manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 30)) == [Self.grant(1, 30, max: 40)])
    }

    @Test func newsOfThePoolMayOvertakeTheAnswer() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(.pool(bytes: 60))
        #expect(manager.handle(Self.ask(1, 50)) == [.shrinkPool(bytesMax: 50)])
        _ = manager.handle(.pool(bytes: 70))
        #expect(manager.handle(.pool(bytes: 50)) == [Self.grant(1, 50, max: 100)])
        #expect(manager.handle(Self.ask(2, 10)) == [.shrinkPool(bytesMax: 40)])
    }

    @Test func whatIsReadIsNotEvicted() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50))
        _ = manager.handle(Self.ask(1, 10, inputs: [0]))
        #expect(manager.handle(Self.ask(2, 60)) == [])
        #expect(manager.handle(.givenBack(1, model: 1)) == [.evict(Self.key(0), .spill)])
    }

    @Test func whatAnAskReadsIsNotEvictedForIt() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50))
        _ = manager.handle(Self.held(1, 20))
        #expect(manager.handle(Self.ask(2, 60, inputs: [0])) == [.evict(Self.key(1), .spill)])
        #expect(manager.handle(.evicted(Self.key(1), .spill, bytesFreed: 20)) == [Self.grant(2, 50, max: 50)])
    }

    @Test func aFailedEvictionIsFollowedByAnotherWay() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50, ways: [.drop, .spill, .swap], recompute: 1e-9))
        #expect(manager.handle(Self.ask(1, 60)) == [.evict(Self.key(0), .drop)])
        #expect(manager.handle(.evictionFailed(Self.key(0), .drop)) == [.evict(Self.key(0), .spill)])
        #expect(manager.handle(.evictionFailed(Self.key(0), .spill)) == [.evict(Self.key(0), .swap)])
        // Nothing else is left: it gets what there is.
        #expect(manager.handle(.evictionFailed(Self.key(0), .swap)) == [Self.grant(1, 50, max: 50)])
    }

    @Test func aSpilledTableCountsAgainWhileItIsRead() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50))
        _ = manager.handle(Self.ask(1, 60))
        _ = manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 50))
        #expect(manager.handle(Self.ask(2, 10, inputs: [0])) == [])
        #expect(manager.handle(.givenBack(1, model: 1)) == [Self.grant(2, 10, max: 50)])
        #expect(manager.handle(Self.ask(3, 51)) == [])
        _ = manager.handle(.restored(Self.key(0), bytes: 50))
        #expect(manager.handle(.givenBack(1, model: 2)) == [.evict(Self.key(0), .spill)])
    }

    @Test func whoeverExpectsMoreThanThereIsGetsAllAlone() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.ask(0, 10))
        #expect(manager.handle(Self.ask(1, 300)) == [])
        #expect(manager.handle(.givenBack(1, model: 0)) == [Self.grant(1, 100, max: 100)])
        #expect(manager.handle(Self.ask(2, 1)) == [])
    }

    @Test func aModelWhoseInputsDoNotFitIsRefused() {
        var manager = Self.manager(run: 100)
        _ = manager.handle(Self.held(0, 60, ways: [.spill]))
        _ = manager.handle(Self.ask(7, 50))
        _ = manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 60))
        _ = manager.handle(Self.held(1, 50))
        _ = manager.handle(.givenBack(1, model: 7))
        #expect(
            manager.handle(Self.ask(2, 5, inputs: [0, 1])) == [
                .refuse(
                    1, model: 2,
                    .init(whose: .run, limitBytes: 100, inputBytes: 110, fixedBytes: 0, expectedBytes: 5))
            ])
    }

    @Test func aRetryRunsAloneWithAllThereIs() {
        var manager = Self.manager(run: 100)
        _ = manager.handle(Self.held(0, 30))
        _ = manager.handle(Self.ask(1, 10))
        _ = manager.handle(Self.ask(2, 10))
        #expect(manager.handle(Self.ask(3, 10, isRetry: true)) == [])
        #expect(manager.handle(.givenBack(1, model: 1)) == [])
        #expect(manager.handle(.givenBack(1, model: 2)) == [.evict(Self.key(0), .spill)])
        #expect(manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 30)) == [Self.grant(3, 100, max: 100)])
    }

    /// Two that may grow by what is free would together push it out a second time.
    @Test func whatRunsBesideARetryMayNotGrow() {
        var manager = Self.manager(engine: 200, run: 100)
        _ = manager.handle(.runBegan(2, priority: 5, slots: 9, memoryBytesMax: nil))
        #expect(manager.handle(Self.ask(0, 20, run: 2)) == [Self.grant(0, 20, max: 200, run: 2)])
        // What runs could grow into what it is to have.
        #expect(manager.handle(Self.ask(0, 10, isRetry: true)) == [])
        #expect(manager.handle(.givenBack(2, model: 0)) == [Self.grant(0, 100, max: 100)])
        #expect(manager.handle(Self.ask(1, 20, run: 2)) == [Self.grant(1, 20, max: 20, run: 2)])
    }

    /// A retry, and a model that is expected to need more than there is.
    @Test(arguments: [true, false]) func aModelThatHasAllMemoryAndDoesNotGetOnLeavesOthersWhatItDoesNotUse(
        _ isRetry: Bool
    ) {
        var manager = Self.manager(engine: 200)
        _ = manager.handle(.runBegan(2, priority: 5, slots: 9, memoryBytesMax: nil))
        #expect(manager.handle(Self.ask(0, isRetry ? 10 : 999, isRetry: isRetry)) == [Self.grant(0, 200, max: 200)])
        #expect(manager.handle(Self.ask(1, 20, run: 2)) == [])
        #expect(manager.runsWithoutSlot == [2])
        #expect(manager.handle(.used(1, model: 0, bytes: 40)) == [])
        #expect(manager.handle(Self.ask(2, 130, run: 2)) == [])
        #expect(manager.handle(.stalled(1, model: 0)).first == Self.grant(1, 20, max: 20 + (isRetry ? 0 : 100), run: 2))
        #expect(manager.runsWithoutSlot.isEmpty)
        // It may use more after all: then nobody is admitted beside it.
        #expect(manager.handle(.used(1, model: 0, bytes: 150)) == [])
        #expect(manager.handle(.givenBack(2, model: 1)) == [])
        #expect(manager.handle(.givenBack(1, model: 0)).count == 1)
    }

    @Test func anAskIsPassedOnlySoOften() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.ask(0, 50))
        _ = manager.handle(Self.ask(1, 80))
        for model in 2..<2 + ResourceManager.overtakesMax {
            #expect(manager.handle(Self.ask(model, 1)).count == 1)
        }
        #expect(manager.handle(Self.ask(99, 1)) == [])
        #expect(manager.handle(.givenBack(1, model: 0)) == [Self.grant(1, 80, max: 96), Self.grant(99, 1, max: 16)])
    }

    @Test func aLargeAskHoldsUpOtherRunsInTheEnd() {
        var manager = Self.manager(engine: 100)
        for run in 2...3 { _ = manager.handle(.runBegan(run, priority: 5, slots: 9, memoryBytesMax: nil)) }
        _ = manager.handle(Self.ask(0, 50, run: 2))
        _ = manager.handle(Self.ask(0, 1, run: 3))
        _ = manager.handle(Self.ask(0, 80))
        for model in 1...ResourceManager.overtakesMax {
            #expect(manager.handle(Self.ask(model, 1, run: 3)).count == 1)
        }
        #expect(manager.handle(Self.ask(99, 1, run: 3)) == [])
        #expect(manager.handle(.givenBack(2, model: 0)).count == 2)
    }

    @Test func aTableMadeAgainIsNotDroppedBeforeItIsReadUnlessNothingElseIsLeft() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(.runBegan(2, priority: 5, slots: 9, memoryBytesMax: nil))
        _ = manager.handle(Self.held(0, 50, ways: [.drop], recompute: 1))
        #expect(manager.handle(Self.ask(1, 60, run: 2)) == [.evict(Self.key(0), .drop)])
        _ = manager.handle(.evicted(Self.key(0), .drop, bytesFreed: 50))
        _ = manager.handle(.givenBack(2, model: 1))
        _ = manager.handle(Self.ask(0, 50))
        _ = manager.handle([Self.held(0, 50, ways: [.drop], recompute: 1), .givenBack(1, model: 0)])
        // Its run will ask for its reader.
        #expect(manager.handle(Self.ask(2, 60, run: 2)) == [])
        #expect(manager.handle(Self.ask(5, 50, inputs: [0])) == [Self.grant(5, 50, max: 50)])
        _ = manager.handle(.givenBack(1, model: 5))
        // It was read.
        #expect(manager.handle(Self.ask(3, 1, run: 2)) != [])
    }

    @Test func aModelWaitsForResultsOfARunThatGoesOn() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(.runBegan(2, priority: 5, slots: 9, memoryBytesMax: nil))
        _ = manager.handle(Self.held(0, 50, ways: [], nextUse: nil))
        // There would be all of it if run 1 ended, which will ask or end.
        #expect(manager.handle(Self.ask(0, 80, run: 2)) == [])
        #expect(manager.handle(Self.ask(1, 10)) == [Self.grant(1, 10, max: 50)])
        #expect(
            manager.handle([.givenBack(1, model: 1), .tableGone(Self.key(0)), .runEnded(1)])
                == [Self.grant(0, 80, max: 100, run: 2)])
    }

    @Test func aModelTakesWhatIsLeftWhenAllRunsWaitForMemory() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(.runBegan(2, priority: 5, slots: 9, memoryBytesMax: nil))
        _ = manager.handle(Self.held(0, 50, ways: [], nextUse: nil))
        _ = manager.handle(Self.ask(0, 80, run: 2))
        // Run 1's own result is there whatever it waits for: it doesn't.
        #expect(manager.handle(Self.ask(1, 90)) == [Self.grant(1, 50, max: 50)])
    }

    @Test func tablesGiveWayToAModelThatNeedsMoreThanItWasExpectedTo() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 30))
        _ = manager.handle(Self.ask(1, 20))
        #expect(manager.handle(.used(1, model: 1, bytes: 70)) == [])
        #expect(manager.handle(.used(1, model: 1, bytes: 71)) == [.evict(Self.key(0), .spill)])
        #expect(manager.handle(Self.ask(2, 1)) == [])
        #expect(manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 30)) == [Self.grant(2, 1, max: 29)])
    }

    @Test func whatFitsGoesBeforeAnythingIsEvicted() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50))
        #expect(
            manager.handle([Self.ask(1, 60), Self.ask(2, 30)]) == [
                Self.grant(2, 30, max: 100),
                .evict(Self.key(0), .spill),
            ])
    }

    @Test func evictionsUnderWayAreAwaited() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50))
        #expect(manager.handle(Self.ask(1, 80)) == [.evict(Self.key(0), .spill)])
        // It would fit, but into what the first one is to have.
        #expect(manager.handle(Self.ask(2, 30)) == [])
        #expect(
            manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 50)) == [Self.grant(1, 80, max: 100)])
    }

    @Test func aTableThatGoesMeanwhileIsNoMatter() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50))
        _ = manager.handle(Self.ask(1, 80))
        #expect(manager.handle(.tableGone(Self.key(0))) == [Self.grant(1, 80, max: 100)])
        #expect(manager.handle(.evicted(Self.key(0), .spill, bytesFreed: 0)) == [])
    }

    @Test func theAsksOfADroppedTablesReadersAreVoid() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50, ways: [.drop], recompute: 1))
        _ = manager.handle(Self.ask(1, 90))
        _ = manager.handle(Self.ask(2, 1, inputs: [0]))
        #expect(manager.handle(.evicted(Self.key(0), .drop, bytesFreed: 50)) == [Self.grant(1, 90, max: 100)])
        _ = manager.handle(.withdrawn(1, model: 2))
        #expect(manager.handle(.givenBack(1, model: 1)) == [])
    }

    @Test func nothingThatCostsMoreThanWaitingIsEvicted() {
        var manager = Self.manager(engine: 100)
        _ = manager.handle(Self.held(0, 50, ways: [.drop], recompute: 10))
        _ = manager.handle(Self.ask(1, 20))
        #expect(manager.handle(Self.ask(2, 40, seconds: 39)) == [])
        #expect(manager.handle(Self.ask(3, 40, seconds: 41)) == [.evict(Self.key(0), .drop)])
    }

    /// Nothing is asserted but that it ends: with a thousand tables and asks it must not take the square of that.
    @Test func manyTablesAndAsksAreHandled() {
        var manager = Self.manager(engine: 1000)
        for model in 0..<1000 { _ = manager.handle(Self.held(model, 1)) }
        var actions: [ResourceManager.Action] = []
        for model in 1000..<2000 { actions += manager.handle(Self.ask(model, 1)) }
        var granted = 0
        while let action = actions.popLast() {
            switch action {
            case .evict(let key, let way): actions += manager.handle(.evicted(key, way, bytesFreed: 1))
            case .grant(_, let model, _):
                granted += 1
                actions += manager.handle(.givenBack(1, model: model))
            default: break
            }
        }
        #expect(granted == 1000)
    }
}
