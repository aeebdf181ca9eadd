import Scheduler
import Testing

/// Workers that have too little memory.
@Suite struct ShortageTests {
    static let killed = Event.exited(WorkerID(0), Scheduler.Exit(signal: 9, isOutOfMemory: true))

    @Test(arguments: [[killed], [.failed(WorkerID(0), memoryError), .exited(WorkerID(0), Scheduler.Exit(status: 1))]])
    func aModelIsAskedForOnceMore(_ events: [Event]) throws {
        var script = try Script([model(final: true)], slots: nil)
        script.feed(.granted(model: 0, Script.grant))
        script.begin(0)
        script.feed(.running(WorkerID(0)))
        for event in events.dropLast() {
            #expect(script.feed(event) == [])
        }
        #expect(
            script.feed(events.last!) == [
                .discard(worker: WorkerID(0)), .giveBack(model: 0), .ask(model: 0, rank: 0, isRetry: true),
            ])
        #expect(script.scheduler.status(of: 0) == nil)
        let more = Scheduler.Grant(memoryBytesMax: nil, expectedBytes: 1 << 31)
        #expect(script.feed(.granted(model: 0, more)) == [fork(0, 1)])
        #expect(script.begin(1) == [.send(model: 0, worker: WorkerID(1), grant: more)])
        var fails = script
        script.publish(1)
        script.feed(.tableReady(model: 0))
        #expect(script.outcome?.status == .success)
        fails.feed(.failed(WorkerID(1), memoryError), .exited(WorkerID(1), Scheduler.Exit()))
        #expect(fails.outcome?.models == [.failed(.reported(memoryError))])
    }

    @Test func aModelThatIsKilledForMemoryTwiceFails() throws {
        var script = try Script([model(), model(0, final: true)])
        script.begin(0)
        #expect(script.feed(Self.killed) == [.discard(worker: WorkerID(0)), fork(0, 1)])
        script.begin(1)
        script.feed(.exited(WorkerID(1), Scheduler.Exit(signal: 9, isOutOfMemory: true)))
        let exit = Scheduler.Exit(signal: 9, isOutOfMemory: true)
        #expect(script.outcome?.models == [.failed(.died(exit, during: .opening)), .skipped(because: 0)])
    }

    @Test func aModelThatRunsAgainIsAskedForOnceMoreAgain() throws {
        var script = try Script([model(), model(0, 2, final: true), model(time: 0)], slots: 1)
        script.begin(0)
        script.runOutOfMemory(0)
        script.complete(1)
        script.feed(.dropped(model: 0))
        script.complete(2)
        #expect(script.forked == [0, 0, 2, 0])
        script.begin(3)
        script.runOutOfMemory(3)
        script.complete(4)
        script.complete(5)
        #expect(script.outcome?.status == .success)
    }

    @Test func theWorkerOfARetryThatDoesNotLeaveIsKilledAndNothingElseCounts() throws {
        var script = try Script([model(final: true)])
        script.begin(0)
        script.feed(.failed(WorkerID(0), memoryError))
        #expect(script.feed(.published(WorkerID(0))) == [.kill(worker: WorkerID(0))])
        #expect(script.feed(.timedOut(WorkerID(0))) == [])
        #expect(script.feed(.exited(WorkerID(0), Scheduler.Exit(signal: 9))).last == fork(0, 1))
        script.complete(1)
        #expect(script.outcome?.status == .success)
    }

    @Test func aWorkerAheadThatHasTooLittleMemoryIsReplacedAndIsNoRetry() throws {
        var script = try Script([model()], slots: nil, ahead: 1)
        script.begin(0)
        #expect(script.feed(Self.killed) == [.discard(worker: WorkerID(0)), fork(0, 1)])
        #expect(script.feed(.granted(model: 0, Script.grant)) == [])
        #expect(script.begin(1) == [send(0, 1)])
    }
}
