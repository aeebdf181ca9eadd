import Scheduler
import Testing

/// Tables that go before their time and come again.
@Suite struct RollingBackTests {
    static let killed = Scheduler.Exit(signal: 9)

    /// A run whose models ask the test; the first are granted, run and done.
    private static func script(
        _ models: [Model], done: [Int], ahead: Int = 0, policy: Scheduler.FailurePolicy = .stop
    ) throws -> Script {
        var script = try Script(models, slots: nil, ahead: ahead, policy: policy)
        for model in done {
            script.feed(.granted(model: model, Script.grant))
            script.complete(model: model)
        }
        return script
    }

    @Test func aDroppedTableIsMadeAgainWhenItIsDemanded() throws {
        // The reader asks already.
        var script = try Self.script([model(), model(0, final: true)], done: [0])
        #expect(script.scheduler.isAsking(1))
        #expect(script.scheduler.canDrop(0))
        #expect(script.scheduler.rerun(of: 0) == [0])
        #expect(
            script.feed(.dropped(model: 0)) == [.withdraw(model: 1), .ask(model: 0, rank: 0, isRetry: false)])
        #expect(script.scheduler.status(of: 0) == nil)
        #expect(script.feed(.granted(model: 0, Script.grant)) == [fork(0, 1)])
        #expect(
            script.complete(1) == [
                .giveBack(model: 0), .settle(model: 0, status: .success), .ask(model: 1, rank: 1, isRetry: false),
            ])
        script.feed(.granted(model: 1, Script.grant))
        script.complete(2)
        #expect(script.outcome?.models == [.success, .success])
        #expect(script.actions.filter { $0 == .release(model: 0) }.count == 1)
    }

    @Test func aDroppedTableIsNotMadeAgainBeforeItsReaderLacksNothingElse() throws {
        var script = try Script([model(), model(), model(0, 1, final: true)])
        script.complete(0)
        #expect(script.feed(.dropped(model: 0)) == [])
        #expect(script.scheduler.status(of: 0) == .success)
        #expect(script.complete(1) == [.settle(model: 1, status: .success), fork(0, 2)])
        #expect(script.complete(2) == [.settle(model: 0, status: .success), fork(2, 3)])
        script.complete(3)
        #expect(script.outcome?.status == .success)
        #expect(script.statuses(of: 0) == [.success, .success])
    }

    @Test func aTableThatIsDroppedWhenItsInputsAreGoneBringsThemBack() throws {
        let models = [
            model(time: 9), model(0, time: 9), model(1, time: 9), model(2, 4, final: true), model(time: 1),
        ]
        var script = try Script(models, slots: 1)
        script.complete(0)
        script.complete(1)
        script.complete(2)
        #expect(script.forked == [0, 1, 2, 4])
        #expect(script.actions.contains(.release(model: 0)))
        #expect(script.actions.contains(.release(model: 1)))
        #expect(script.scheduler.rerun(of: 2) == [2, 1, 0])
        #expect(script.feed(.dropped(model: 2)) == [])
        #expect(script.complete(3).last == fork(0, 4))
        // What was brought back is held as long as it is read, and no longer.
        #expect(script.complete(4).last == fork(1, 5))
        #expect(script.complete(5).suffix(2) == [.release(model: 0), fork(2, 6)])
        #expect(script.complete(6).suffix(2) == [.release(model: 1), fork(3, 7)])
        script.complete(7)
        #expect(script.outcome?.models == [.success, .success, .success, .success, .success])
        #expect((0..<4).map { script.statuses(of: $0).count } == [2, 2, 2, 1])
    }

    @Test func whatADroppedTableIsMadeFromIsKeptForIt() throws {
        // 0 > 1 > 3 and 0 > 2 > 3.
        var script = try Script([model(), model(0), model(0), model(1, 2, final: true)], slots: 1)
        script.complete(0)
        script.complete(1)
        script.feed(.dropped(model: 1))
        #expect(script.complete(2) == [.settle(model: 2, status: .success), fork(1, 3)])
        #expect(script.complete(3).contains(.release(model: 0)))
        script.complete(4)
        #expect(script.outcome?.status == .success)
        #expect(script.statuses(of: 0) == [.success])
    }

    @Test func aTableThatIsReadOrIsAResultOrMayNotRollBackIsKept() throws {
        let models = [model(), model(0, final: true), model(rollsBack: false), model(2, 4, final: true), model()]
        var script = try Self.script(models, done: [0, 2])
        #expect(script.scheduler.canDrop(0))
        script.feed(.granted(model: 1, Script.grant))
        #expect(script.scheduler.isPinned(0))
        #expect(!script.scheduler.canDrop(0))
        script.complete(2)
        #expect(script.scheduler.status(of: 1) == .success)
        #expect(!script.scheduler.canDrop(1))
        #expect(!script.scheduler.canDrop(2))
        #expect(!script.scheduler.canDrop(4))
    }

    @Test func theNextReaderOfATableIsTheMostUrgentThatMayStillReadIt() throws {
        var script = try Self.script([model(), model(0, time: 1), model(0, time: 3), model(1, time: 9)], done: [0])
        let asks = script.actions.suffix(2)
        #expect(asks == [.ask(model: 1, rank: 1, isRetry: false), .ask(model: 2, rank: 3, isRetry: false)])
        #expect(script.scheduler.nextReaderRank(of: 0) == 1)
        script.feed(.granted(model: 1, Script.grant))
        script.complete(1)
        #expect(script.scheduler.nextReaderRank(of: 0) == 3)
        #expect(script.scheduler.nextReaderRank(of: 3) == nil)
    }

    @Test func aGrantThatCrossesADropIsGivenBack() throws {
        var script = try Self.script([model(), model(0, final: true)], done: [0])
        script.feed(.dropped(model: 0))
        #expect(script.feed(.granted(model: 1, Script.grant)) == [.giveBack(model: 1)])
        script.feed(.granted(model: 0, Script.grant))
        #expect(script.complete(1).last == .ask(model: 1, rank: 1, isRetry: false))
        #expect(script.feed(.granted(model: 1, Script.grant)) == [fork(1, 2)])
        // One answer too many, had the first grant come only now.
        #expect(script.feed(.granted(model: 1, Script.grant)) == [.giveBack(model: 1)])
        script.complete(2)
        #expect(script.outcome?.status == .success)
        #expect(script.actions.filter { $0 == .giveBack(model: 1) }.count == 3)
    }

    /// Model 0 was dropped and runs again for model 1, which has a worker ahead; model 2 is another matter.
    private static func rerunning(_ policy: Scheduler.FailurePolicy) throws -> Script {
        var script = try script(
            [model(time: 9), model(0, final: true), model(final: true, time: 1)], done: [0], ahead: 1, policy: policy)
        script.begin(1)
        script.feed(.dropped(model: 0), .granted(model: 0, Script.grant))
        // It took the worker of model 1, which got another.
        #expect(script.forked == [0, 1, 1])
        script.begin(2)
        return script
    }

    @Test func whatRunsAgainForNobodyIsCalledOff() throws {
        var script = try Self.rerunning(.keepGoing)
        let misbehaved = Status.failed(.misbehaved("noise"))
        #expect(
            script.feed(.misbehaved(WorkerID(2), reason: "noise")) == [.kill(worker: WorkerID(2))])
        #expect(
            script.feed(.exited(WorkerID(2), Self.killed)).prefix(3) == [
                .discard(worker: WorkerID(2)), .settle(model: 1, status: misbehaved), .kill(worker: WorkerID(1)),
            ])
        #expect(
            script.feed(.exited(WorkerID(1), Self.killed)) == [
                .discard(worker: WorkerID(1)), .giveBack(model: 0), .settle(model: 0, status: .success),
            ])
        script.feed(.granted(model: 2, Script.grant))
        script.complete(3)
        #expect(script.outcome?.models == [.success, misbehaved, .success])
        #expect(!script.actions.contains(.release(model: 0)))
    }

    @Test(arguments: [Scheduler.FailurePolicy.stop, .keepGoing])
    func whatFailsWhenItRunsAgainFailsItsReaders(_ policy: Scheduler.FailurePolicy) throws {
        var script = try Self.rerunning(policy)
        let failed = Status.failed(.reported(userError))
        #expect(script.feed(.failed(WorkerID(1), userError)).first == .kill(worker: WorkerID(2)))
        script.feed(.exited(WorkerID(1), Scheduler.Exit()), .exited(WorkerID(2), Self.killed))
        if policy == .keepGoing {
            script.feed(.granted(model: 2, Script.grant))
            script.complete(3)
        }
        #expect(script.statuses(of: 0) == [.success, failed])
        #expect(script.outcome?.cause == Scheduler.Outcome.Cause(model: 0, failure: .reported(userError)))
        let other = policy == .stop ? Status.skipped(because: 0) : .success
        #expect(script.outcome?.models == [failed, .skipped(because: 0), other])
    }

    @Test func aZygoteThatDiesFailsWhatOwesItsTable() throws {
        let models = [
            Model(inputs: [], environment: "dying"), Model(inputs: [], environment: "other"), model(0, 1, final: true),
        ]
        var script = try Script(models, policy: .keepGoing)
        script.complete(0)
        script.feed(.dropped(model: 0))
        #expect(
            script.feed(.zygoteFailed(environment: "dying", reason: "killed")) == [
                .settle(model: 0, status: .failed(.environment("killed"))),
                .settle(model: 2, status: .skipped(because: 0)),
            ])
        script.complete(1)
        #expect(script.outcome?.status == .failed)
    }

    @Test func aTableThatNoZygoteCouldMakeAgainIsKept() throws {
        var script = try Self.script([model(), model(0, final: true), preview(of: 1)], done: [0])
        script.feed(.granted(model: 1, Script.grant))
        script.begin(1)
        script.feed(.published(WorkerID(1)))
        #expect(script.scheduler.rerun(of: 0) == [0])
        script.feed(.zygoteFailed(environment: "e", reason: "killed"))
        #expect(script.scheduler.rerun(of: 0) == nil)
    }

    /// Model 0 was called off while it ran again, as 1 has failed; then 2, which was made from it, was dropped, and 3 wants it.
    private static func calledOffInVain() throws -> Script {
        let first = Model(inputs: [], environment: "dying")
        var script = try script(
            [first, model(0, final: true), model(0), model(2, final: true)], done: [0, 2], ahead: 1,
            policy: .keepGoing)
        #expect(script.forked == [0, 2, 1])
        script.begin(2)
        script.feed(.dropped(model: 0), .granted(model: 0, Script.grant))
        script.begin(3)
        script.feed(.misbehaved(WorkerID(2), reason: "noise"))
        #expect(script.feed(.exited(WorkerID(2), killed)).contains(.kill(worker: WorkerID(3))))
        #expect(script.scheduler.rerun(of: 2) == [2, 0])
        #expect(script.feed(.dropped(model: 2)).prefix(1) == [.withdraw(model: 3)])
        #expect(script.scheduler.status(of: 2) == nil)
        return script
    }

    @Test func whatIsCalledOffAndWantedAfterAllStartsAfresh() throws {
        var script = try Self.calledOffInVain()
        let last = script.feed(.exited(WorkerID(3), Self.killed))
        #expect(last.contains(.settle(model: 0, status: .success)))
        #expect(last.contains(.ask(model: 0, rank: 0, isRetry: false)))
        for model in [0, 2, 3] {
            script.feed(.granted(model: model, Script.grant))
            script.complete(model: model)
        }
        #expect(script.statuses(of: 0) == [.success, .success, .success])
        #expect(script.outcome?.models[3] == .success)
    }

    @Test func whatIsCalledOffAndWantedAfterAllFailsWithItsZygote() throws {
        var script = try Self.calledOffInVain()
        script.feed(.zygoteFailed(environment: "dying", reason: "killed"))
        script.feed(.exited(WorkerID(3), Self.killed))
        for worker in [4, 5].map(WorkerID.init) where script.scheduler.isAlive(worker) {
            script.feed(.forked(worker), .exited(worker, Self.killed))
        }
        #expect(script.outcome?.models[0] == .failed(.environment("killed")))
        #expect(script.outcome?.models.suffix(2) == [.success, .skipped(because: 0)])
    }

    @Test func aZygoteThatDiesFailsNoTableThatNobodyAwaits() throws {
        let other = Model(inputs: [], environment: "other", isFinal: true)
        var script = try Script([model(), preview(of: 0), other], slots: nil, ahead: 3)
        script.feed(.granted(model: 0, Script.grant))
        script.complete(0)
        let worker = script.forked.firstIndex(of: 1)!
        script.begin(worker)
        // The preview's worker is being killed: it wants nothing any more.
        script.feed(.misbehaved(WorkerID(worker), reason: "noise"), .dropped(model: 0))
        #expect(script.feed(.zygoteFailed(environment: "e", reason: "killed")) == [])
        script.feed(.exited(WorkerID(worker), Self.killed), .granted(model: 2, Script.grant))
        script.complete(script.forked.firstIndex(of: 2)!)
        #expect(script.outcome?.status == .success)
    }

    @Test func aTableIsKeptIfWhatItWasMadeFromCannotBeMadeAgain() throws {
        // 0 > 1 > 2 > 3, and 4 reads 1, which is dropped, so that 0 runs again and fails.
        let models = [model(), model(0), model(1), model(2, final: true), model(1, final: true)]
        var script = try Self.script(models, done: [0, 1, 2], ahead: 4, policy: .keepGoing)
        #expect(script.scheduler.canDrop(2))
        script.feed(.dropped(model: 1), .granted(model: 0, Script.grant))
        let first = script.forked.lastIndex(of: 0)!
        let second = script.forked.lastIndex(of: 1)!
        script.begin(first)
        script.begin(second)
        #expect(script.scheduler.canDrop(2))
        #expect(script.feed(.failed(WorkerID(first), userError)).contains(.kill(worker: WorkerID(second))))
        // Model 1 isn't settled, but will never be made.
        #expect(script.scheduler.status(of: 1) == nil)
        #expect(!script.scheduler.canDrop(2))
        script.feed(.exited(WorkerID(second), Self.killed))
        #expect(script.statuses(of: 1) == [.success, .success])
        #expect(!script.scheduler.canDrop(2))
    }
}
