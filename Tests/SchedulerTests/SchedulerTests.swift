import Scheduler
import Testing

@Suite struct RunTests {
    @Test func anEmptyRunFinishesAtOnce() throws {
        var scheduler = Scheduler(graph: try Scheduler.Graph([]))
        #expect(
            scheduler.handle(.start) == [.finish(Scheduler.Outcome(status: .success, cause: nil, models: []))])
        #expect(scheduler.isFinished)
    }

    @Test func oneModelGoesThroughAllSteps() throws {
        var script = try Script([model(final: true)], warm: false)
        let worker = WorkerID(0)
        #expect(script.feed(.start) == [.startZygote(environment: "e")])
        #expect(script.feed(.zygoteReady(environment: "e")) == [fork(0, 0)])
        #expect(script.scheduler.isForking(worker))
        #expect(script.feed(.forked(worker)) == [])
        #expect(!script.scheduler.isForking(worker))
        #expect(script.feed(.started(worker)) == [send(0, 0)])
        #expect(script.feed(.running(worker)) == [])
        #expect(script.feed(.published(worker)) == [])
        #expect(script.scheduler.isAlive(worker))
        #expect(script.feed(.exited(worker, Scheduler.Exit())) == [.seal(model: 0, worker: worker)])
        #expect(!script.scheduler.isAlive(worker))
        #expect(script.scheduler.status(of: 0) == nil)
        #expect(
            script.feed(.tableReady(model: 0)) == [
                .settle(model: 0, status: .success), .release(model: 0),
                .finish(Scheduler.Outcome(status: .success, cause: nil, models: [.success])),
            ])
        #expect(script.scheduler.status(of: 0) == .success)
    }

    @Test func aModelAsksIsGrantedAndGivesBack() throws {
        var script = try Script([model(), model(0, final: true)], slots: nil, warm: false)
        script.feed(.start)
        let grant = Scheduler.Grant(memoryBytesMax: nil, expectedBytes: 7)
        #expect(script.feed(.zygoteReady(environment: "e")) == [.ask(model: 0, rank: 0, isRetry: false)])
        #expect(script.scheduler.isAsking(0))
        #expect(script.feed(.granted(model: 0, grant)) == [fork(0, 0)])
        #expect(!script.scheduler.isAsking(0))
        #expect(script.begin(0) == [.send(model: 0, worker: WorkerID(0), grant: grant)])
        #expect(script.publish(0) == [.seal(model: 0, worker: WorkerID(0))])
        #expect(
            script.feed(.tableReady(model: 0)) == [
                .giveBack(model: 0), .settle(model: 0, status: .success), .ask(model: 1, rank: 1, isRetry: false),
            ])
        #expect(!script.scheduler.isPinned(0))
        script.feed(.granted(model: 1, grant))
        #expect(script.scheduler.isPinned(0))
        script.begin(1)
        #expect(
            script.feed(.failed(WorkerID(1), userError), .exited(WorkerID(1), Scheduler.Exit())).prefix(2) == [
                .discard(worker: WorkerID(1)), .giveBack(model: 1),
            ])
        #expect(!script.scheduler.isPinned(0))
    }

    @Test func theMostUrgentAsksHaveTheLowestRanks() throws {
        let script = try Script([model(time: 1), model(time: 3), model(time: 2)], slots: nil)
        #expect(
            script.actions.suffix(3) == [
                .ask(model: 1, rank: 0, isRetry: false), .ask(model: 2, rank: 1, isRetry: false),
                .ask(model: 0, rank: 2, isRetry: false),
            ])
    }

    @Test func aWorkerMayStartBeforeTheZygoteSaysThatItIsForked() throws {
        var script = try Script([model()])
        #expect(script.feed(.started(WorkerID(0))) == [])
        #expect(script.feed(.forked(WorkerID(0))) == [send(0, 0)])
    }

    @Test func modelsRunInParallelAsSlotsAllow() throws {
        var script = try Script([model(), model(), model()], slots: 2)
        #expect(script.forked == [0, 1])
        script.begin(1)
        #expect(script.publish(1) == [.seal(model: 1, worker: WorkerID(1))])
        #expect(script.feed(.tableReady(model: 1)).last == fork(2, 2))
    }

    @Test func whoEndsWhileItAsksWithdrawsAndGivesALateGrantBack() throws {
        var script = try Script([model(), model()], slots: nil)
        #expect(
            script.feed(.cancel).prefix(4) == [
                .withdraw(model: 0), .settle(model: 0, status: .cancelled), .withdraw(model: 1),
                .settle(model: 1, status: .cancelled),
            ])
        #expect(script.outcome != nil)
        var other = try Script([model(), model()], slots: nil)
        other.feed(.granted(model: 0, Script.grant), .cancel)
        #expect(other.feed(.granted(model: 1, Script.grant)) == [.giveBack(model: 1)])
    }

    @Test func aRefusedModelFails() throws {
        var script = try Script([model(), model(0), model(final: true)], slots: nil, policy: .keepGoing)
        let failed = Status.failed(.refused("it needs 3 GB of 2 GB"))
        #expect(
            script.feed(.refused(model: 0, reason: "it needs 3 GB of 2 GB")) == [
                .settle(model: 0, status: failed), .settle(model: 1, status: .skipped(because: 0)),
            ])
        #expect(script.feed(.refused(model: 0, reason: "again")) == [])
        script.feed(.granted(model: 2, Script.grant))
        script.complete(0)
        #expect(script.outcome?.models == [failed, .skipped(because: 0), .success])
    }

    @Test func theWorkerAheadOfARefusedModelIsKilled() throws {
        var script = try Script([model()], slots: nil, ahead: 1)
        script.begin(0)
        #expect(script.feed(.refused(model: 0, reason: "no")) == [.kill(worker: WorkerID(0))])
        script.feed(.exited(WorkerID(0), Scheduler.Exit(signal: 9)))
        #expect(script.outcome?.models == [.failed(.refused("no"))])
    }

    @Test func theSlotOfATableGoesToItsReaderIfThatIsMostUrgent() throws {
        var script = try Script([model(), model(0), model(1), model()], slots: 1)
        script.complete(0)
        script.complete(1)
        #expect(script.forked == [0, 1, 2])
    }

    @Test func aModelWaitsForAllItsInputs() throws {
        var script = try Script([model(), model(), model(0, 1, 0, final: true)])
        script.complete(0)
        #expect(script.forked == [0, 1])
        script.complete(1)
        #expect(script.forked == [0, 1, 2])
    }

    @Test func modelsOfAnEnvironmentWaitForItsZygoteAlone() throws {
        let models = [Model(inputs: [], environment: "slow"), Model(inputs: [], environment: "fast")]
        var script = try Script(models, slots: 1, warm: false)
        script.feed(.start)
        #expect(script.feed(.zygoteReady(environment: "fast")) == [fork(1, 0)])
        #expect(script.feed(.zygoteReady(environment: "slow")) == [])
        script.complete(0)
        #expect(script.forked == [1, 0])
    }

    @Test func aTableIsReleasedWhenItsLastReaderIsSettled() throws {
        var script = try Script([model(), model(0, final: true), model(0, final: true)])
        script.complete(0)
        script.complete(1)
        #expect(!script.actions.contains(.release(model: 0)))
        script.begin(2)
        script.publish(2)
        // The reader's own table may reshare it, and has no references before it is sealed.
        #expect(!script.actions.contains(.release(model: 0)))
        let last = script.feed(.tableReady(model: 2))
        #expect(last.prefix(2) == [.settle(model: 2, status: .success), .release(model: 0)])
    }

    @Test func aTableThatNobodyReadsAndNobodyWantsIsReleasedAtOnce() throws {
        var script = try Script([model(), model(final: true)])
        #expect(script.complete(0) == [.settle(model: 0, status: .success), .release(model: 0)])
    }

    @Test func aFinalTableIsKeptUntilTheEndEvenIfItIsRead() throws {
        var script = try Script([model(final: true), model(0, final: true), model(time: 1)], slots: 1)
        script.complete(0)
        script.complete(1)
        #expect(!script.actions.contains(.release(model: 0)))
        #expect(!script.actions.contains(.release(model: 1)))
        let last = script.complete(2)
        #expect(last.dropLast().suffix(2) == [.release(model: 0), .release(model: 1)])
    }

    @Test func aPreviewDeliversTextAndLeavesNoTable() throws {
        var script = try Script([model(final: true), preview(of: 0)])
        script.complete(0)
        script.begin(1)
        script.feed(.running(WorkerID(1)), .done(WorkerID(1)))
        #expect(
            script.feed(.exited(WorkerID(1), Scheduler.Exit())).prefix(3) == [
                .discard(worker: WorkerID(1)), .settle(model: 1, status: .success), .release(model: 0),
            ])
        #expect(script.outcome?.status == .success)
    }

    @Test func workersAreForkedAheadWhenTheirInputsAreBeingMade() throws {
        var script = try Script([model(), model(0), model(1, final: true)], slots: 1, ahead: 1)
        // Model 1 is next; the input of model 2 isn't even running.
        #expect(script.forked == [0, 1])
        script.begin(1)
        #expect(!script.actions.contains(send(1, 1)))
        #expect(
            script.complete(0) == [
                .settle(model: 0, status: .success), send(1, 1), fork(2, 2),
            ])
    }

    @Test func workersAreForkedFarAheadButForOne() throws {
        let chain = [model(), model(0), model(1), model(2, final: true)]
        #expect(try Script(chain, slots: 1, ahead: 3).forked == [0, 1, 2])
        // The last place is for whoever needs it sooner.
        #expect(try Script(chain, slots: 1, ahead: 1).forked == [0, 1])
        // Before there is a grant, the first model may have one, and so the second one may be next.
        #expect(try Script(chain, slots: nil, ahead: 2).forked == [0])
        #expect(try Script(chain, slots: nil, ahead: 3).forked == [0, 1])
    }

    @Test func aGrantedModelWithoutAWorkerTakesOneThatWaitsForALaterModel() throws {
        // There is one worker ahead, for the second model, when the first one is granted again.
        var script = try Script([model(time: 9), model(time: 5), model(final: true, time: 1)], slots: nil, ahead: 1)
        #expect(script.forked == [0])
        script.begin(0)
        let led = script.feed(.granted(model: 2, Script.grant))
        #expect(led.prefix(2) == [.move(worker: WorkerID(0), model: 2), send(2, 0)])
        #expect(led.contains(fork(0, 1)), "the one that lost it gets another")
        script.publish(0)
        #expect(script.actions.last == .seal(model: 2, worker: WorkerID(0)))
    }

    @Test func aGrantedModelWhoseWorkerIsNotReadyExchangesIt() throws {
        var script = try Script([model(time: 9), model(final: true, time: 5)], slots: nil, ahead: 2)
        #expect(script.forked == [0, 1])
        script.begin(1)
        #expect(
            script.feed(.granted(model: 0, Script.grant)) == [
                .move(worker: WorkerID(1), model: 0), .move(worker: WorkerID(0), model: 1), send(0, 1),
            ])
        script.begin(0)
        #expect(script.feed(.granted(model: 1, Script.grant)) == [send(1, 0)])
    }

    @Test func aWorkerOfAnotherEnvironmentIsNotTaken() throws {
        let other = Model(inputs: [], environment: "f", isFinal: true)
        var script = try Script([model(final: true), other], slots: nil, ahead: 1)
        #expect(script.forked == [0])
        script.begin(0)
        #expect(script.feed(.granted(model: 1, Script.grant)) == [fork(1, 1)])
    }

    @Test func aWorkerAheadIsKilledWhenItsInputFails() throws {
        var script = try Script([model(), model(0), model(final: true)], slots: 1, ahead: 1, policy: .keepGoing)
        script.begin(1)
        script.begin(0)
        #expect(script.feed(.failed(WorkerID(0), userError)) == [.kill(worker: WorkerID(1))])
        #expect(
            script.feed(.exited(WorkerID(1), Scheduler.Exit(signal: 9))).prefix(2) == [
                .discard(worker: WorkerID(1)), .settle(model: 1, status: .skipped(because: 0)),
            ])
    }

    @Test func aSlotIsNotWastedOnAWorkerAheadThatIsToDie() throws {
        var script = try Script([model(), model(), model()], slots: 1, ahead: 1, policy: .keepGoing)
        #expect(script.forked == [0, 1])
        script.begin(1)
        #expect(script.feed(.timedOut(WorkerID(1))) == [.kill(worker: WorkerID(1))])
        #expect(script.complete(0).last == fork(2, 2))
        // It is not another one ahead.
        #expect(script.begin(2) == [send(2, 2)])
    }

    @Test func whatComesAfterTheEndIsIgnoredIfItMay() throws {
        var script = try Script([model()])
        script.complete(0)
        #expect(script.outcome != nil)
        #expect(script.feed(.cancel) == [])
        #expect(script.feed(.zygoteFailed(environment: "e", reason: "closed")) == [])
        #expect(script.feed(.timedOut(WorkerID(0))) == [])
    }
}
