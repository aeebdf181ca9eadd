import Scheduler
import Testing

/// Models whose tables are there before the run.
@Suite struct CachedModelTests {
    /// 0 > 1 > 2 > 3: the table of 2 is there, so that 0 and 1 aren't needed.
    static let models = [
        Model(inputs: [], environment: "source"), Model(inputs: [0], environment: "source"), model(1, cached: true),
        model(2, 4, final: true), model(),
    ]

    @Test func whatIsCachedDoesNotRunAndNeitherDoesWhatOnlyItReads() throws {
        var script = try Script(Self.models, warm: false)
        #expect(
            script.feed(.start) == [
                .startZygote(environment: "e"), .settle(model: 0, status: .unneeded),
                .settle(model: 1, status: .unneeded), .settle(model: 2, status: .success),
            ])
        script.feed(.zygoteReady(environment: "e"))
        script.complete(0)
        #expect(script.complete(1).contains(.release(model: 2)))
        #expect(script.forked == [4, 3])
        #expect(script.outcome?.models == [.unneeded, .unneeded, .success, .success, .success])
        #expect(script.outcome?.status == .success)
    }

    @Test func aCachedTableThatIsDroppedIsReallyMade() throws {
        var script = try Script(Self.models)
        #expect(script.scheduler.rerun(of: 2) == [2, 1, 0])
        script.feed(.dropped(model: 2))
        #expect(script.complete(0).contains(.startZygote(environment: "source")))
        script.feed(.zygoteReady(environment: "source"))
        for worker in 1...4 {
            script.complete(worker)
        }
        #expect(script.forked == [4, 0, 1, 2, 3])
        #expect(script.outcome?.models == [.success, .success, .success, .success, .success])
        #expect(script.statuses(of: 0) == [.unneeded, .success])
        #expect(script.statuses(of: 2) == [.success, .success])
    }

    @Test func aCachedModelThatRunsMakesItsReadersNoMoreReadyThanBefore() throws {
        // 2 reads what is cached and what has no grant yet; it gets no worker ahead.
        var script = try Script(
            [model(cached: true), model(), model(0, 1, final: true), model(0, final: true)], slots: nil, ahead: 3)
        #expect(script.forked.sorted() == [1, 3])
        script.feed(.dropped(model: 0))
        #expect(script.forked.last == 0)
        #expect(script.feed(.granted(model: 0, Script.grant)) == [])
        script.feed(.granted(model: 1, Script.grant))
        #expect(script.forked.last == 2)
    }

    @Test func aCachedTableThatNobodyReadsIsReleasedAtOnceAndAResultIsKept() throws {
        var script = try Script([model(cached: true), model(0, final: true, cached: true), model(final: true)])
        #expect(script.actions.contains(.release(model: 0)))
        #expect(!script.actions.contains(.release(model: 1)))
        script.complete(0)
        #expect(script.actions.contains(.release(model: 1)))
        #expect(script.forked == [2])
    }

    @Test func aRunOfWhatIsCachedFinishesAtOnce() throws {
        let script = try Script([model(), model(0, final: true, cached: true)])
        #expect(script.outcome?.models == [.unneeded, .success])
        #expect(script.actions.contains(.release(model: 1)))
    }

    @Test func aCachedTableThatMayNotRollBackIsKept() throws {
        let script = try Script([model(), model(0, cached: true, rollsBack: false), model(1, final: true)], slots: nil)
        #expect(!script.scheduler.canDrop(1))
        #expect(script.scheduler.isAsking(2))
    }

    /// 0 may be found; 1 reads it, 2 doesn't.
    static let findable = [
        Model(inputs: [], environment: "e", mayBeFound: true), model(0, final: true), model(final: true),
    ]

    @Test func aTableThatIsFoundWhileItsModelAsksNeedsNoWorkerAndServesItsReaders() throws {
        var script = try Script(Self.findable, slots: nil, ahead: 4)
        #expect(script.forked == [2, 1])
        #expect(
            script.feed(.tableFound(model: 0)).prefix(2) == [.withdraw(model: 0), .settle(model: 0, status: .success)])
        #expect(script.scheduler.isAsking(1))
        #expect(script.forked == [2, 1])
        // Its grant was on its way.
        #expect(script.feed(.granted(model: 0, Script.grant)) == [.giveBack(model: 0)])
    }

    @Test func aModelWhoseTableIsNotFoundRunsAsAny() throws {
        var script = try Script(Self.findable, slots: 1, ahead: 4)
        // It takes the worker of the one that comes later, which gets another.
        #expect(script.forked == [2, 1, 2])
        #expect(script.actions.contains(.move(worker: WorkerID(0), model: 0)))
        for worker in 0...2 { script.complete(worker) }
        #expect(script.outcome?.status == .success)
    }

    @Test func aFoundTableThatIsDroppedIsMadeOrFoundAgain() throws {
        for isFound in [true, false] {
            var script = try Script(Self.findable, slots: nil)
            script.feed(.tableFound(model: 0))
            #expect(script.scheduler.rerun(of: 0) == [0])
            script.feed(.dropped(model: 0))
            #expect(script.scheduler.isAsking(0) && !script.scheduler.isAsking(1))
            if isFound {
                script.feed(.tableFound(model: 0))
            } else {
                script.feed(.granted(model: 0, Script.grant))
                script.complete(0)
            }
            #expect(script.scheduler.isAsking(1))
            #expect(script.statuses(of: 0) == [.success, .success])
        }
    }
}
