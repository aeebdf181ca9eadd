import Scheduler
import Testing

@Suite struct FailureTests {
    /// Something that ends the only model's run.
    struct Ending: Sendable {
        let name: String
        /// Whether the worker was sent its inputs before.
        var begun = true
        let events: [Event]
        let failure: Scheduler.Failure?
        var isKilled = false
    }

    static let worker = WorkerID(0)
    static let clean = Event.exited(worker, Scheduler.Exit())
    static let killed = Event.exited(worker, Scheduler.Exit(signal: 9))
    static let misplacedStart = Scheduler.Failure.misbehaved("it said that it started, which it can't have then")
    static let misplacedRun = Scheduler.Failure.misbehaved("it said that it runs, which it can't have then")
    static let misplacedResult = Scheduler.Failure.misbehaved("it sent a result that it can't have had then")
    static let misplacedFailure = Scheduler.Failure.misbehaved(
        "it said that it failed, after its result or an earlier failure")

    static let endings: [Ending] = [
        Ending(name: "a clean end", events: [.running(worker), .published(worker), clean], failure: nil),
        Ending(name: "a result without running", events: [.published(worker), clean], failure: nil),
        Ending(name: "a signal after the result", events: [.published(worker), killed], failure: nil),
        Ending(
            name: "a worker that doesn't leave after the result",
            events: [.published(worker), .timedOut(worker), killed], failure: nil, isKilled: true),
        Ending(
            name: "a reported error", events: [.running(worker), .failed(worker, userError), clean],
            failure: .reported(userError)),
        Ending(
            name: "a reported error and no leaving",
            events: [.failed(worker, userError), .timedOut(worker), killed], failure: .reported(userError),
            isKilled: true),
        Ending(
            name: "a reported error while it starts", begun: false,
            events: [.failed(worker, userError), .forked(worker), clean], failure: .reported(userError)),
        Ending(
            name: "death while it starts", begun: false, events: [.forked(worker), clean],
            failure: .died(Scheduler.Exit(), during: .starting)),
        Ending(
            name: "death while it opens its inputs", events: [killed],
            failure: .died(Scheduler.Exit(signal: 9), during: .opening)),
        Ending(
            name: "leaving without a result", events: [.running(worker), clean],
            failure: .died(Scheduler.Exit(), during: .running)),
        Ending(
            name: "death for memory after the result",
            events: [.published(worker), .exited(worker, Scheduler.Exit(signal: 9, isOutOfMemory: true))], failure: nil),
        Ending(
            name: "no fork", begun: false, events: [.forkFailed(worker, reason: "no memory")],
            failure: .fork("no memory")),
        Ending(
            name: "no room for the output", events: [.sendFailed(worker, reason: "/dev/shm is full"), killed],
            failure: .send("/dev/shm is full"), isKilled: true),
        Ending(name: "no time left", events: [.timedOut(worker), killed], failure: .timedOut, isKilled: true),
        Ending(
            name: "no time left while it is forked", begun: false,
            events: [.timedOut(worker), .forked(worker), killed], failure: .timedOut, isKilled: true),
        Ending(
            name: "noise", events: [.misbehaved(worker, reason: "no JSON"), killed], failure: .misbehaved("no JSON"),
            isKilled: true),
        Ending(
            name: "started twice", events: [.started(worker), killed], failure: misplacedStart, isKilled: true),
        Ending(
            name: "running before it has inputs", begun: false,
            events: [.forked(worker), .running(worker), killed], failure: misplacedRun, isKilled: true),
        Ending(
            name: "running twice", events: [.running(worker), .running(worker), killed], failure: misplacedRun,
            isKilled: true),
        Ending(
            name: "a result before it has inputs", begun: false,
            events: [.published(worker), .forked(worker), killed], failure: misplacedResult, isKilled: true),
        Ending(
            name: "two results", events: [.published(worker), .published(worker), killed], failure: misplacedResult,
            isKilled: true),
        Ending(
            name: "an error after the result", events: [.published(worker), .failed(worker, userError), killed],
            failure: misplacedFailure, isKilled: true),
        Ending(
            name: "noise after the result", events: [.published(worker), .misbehaved(worker, reason: "?"), killed],
            failure: .misbehaved("?"), isKilled: true),
        Ending(
            name: "a result after an error", events: [.failed(worker, userError), .published(worker), killed],
            failure: .reported(userError), isKilled: true),
        Ending(
            name: "text in place of a table", events: [.done(worker), killed],
            failure: .misbehaved("it sent text in place of a table"), isKilled: true),
    ]

    @Test(arguments: endings) func everyEndingGivesItsStatus(_ ending: Ending) throws {
        var script = try Script([model(final: true)])
        if ending.begun {
            script.begin(0)
        }
        for event in ending.events {
            #expect(script.outcome == nil, "\(ending.name)")
            script.feed(event)
        }
        let kills = script.actions.filter { $0 == .kill(worker: Self.worker) }.count
        #expect(kills == (ending.isKilled ? 1 : 0), "\(ending.name)")
        if let failure = ending.failure {
            #expect(script.actions.contains(.discard(worker: Self.worker)), "\(ending.name)")
            #expect(script.outcome?.models == [.failed(failure)], "\(ending.name)")
            #expect(script.outcome?.status == .failed, "\(ending.name)")
            #expect(script.outcome?.cause?.failure == failure, "\(ending.name)")
        } else {
            #expect(script.actions.last == .seal(model: 0, worker: Self.worker), "\(ending.name)")
            script.feed(.tableReady(model: 0))
            #expect(script.outcome?.status == .success, "\(ending.name)")
        }
    }

    @Test func aTamperedTableFailsItsModelAndReleasesWhatItRead() throws {
        var script = try Script([model(), model(0, final: true)])
        script.complete(0)
        script.begin(1)
        script.publish(1)
        #expect(
            script.feed(.tableRejected(model: 1, reason: "offset past the end")).prefix(2) == [
                .settle(model: 1, status: .failed(.rejected("offset past the end"))), .release(model: 0),
            ])
        #expect(script.outcome?.status == .failed)
    }

    @Test func afterAFailureTheRestStops() throws {
        // 0 fails; 1 runs; 2 has published; 3 waits for 0; 4 waits for a slot.
        var script = try Script(
            [model(), model(), model(final: true), model(0), model(final: true), preview(of: 2)], slots: 3)
        script.begin(0)
        script.begin(1)
        script.begin(2)
        script.feed(.published(WorkerID(2)))
        #expect(
            script.feed(.failed(WorkerID(0), userError)) == [
                .kill(worker: WorkerID(1)), .settle(model: 3, status: .skipped(because: 0)),
                .settle(model: 4, status: .skipped(because: 0)), .settle(model: 5, status: .skipped(because: 0)),
            ])
        script.feed(.exited(WorkerID(0), Scheduler.Exit(status: 1)))
        script.feed(.exited(WorkerID(2), Scheduler.Exit()), .tableReady(model: 2))
        #expect(script.outcome == nil)
        script.feed(.exited(WorkerID(1), Scheduler.Exit(signal: 9)))
        #expect(
            script.outcome?.models == [
                .failed(.reported(userError)), .cancelled, .success, .skipped(because: 0), .skipped(because: 0),
                .skipped(because: 0),
            ])
    }

    @Test func afterAFailureTheRestRunsIfItIsToKeepGoing() throws {
        var script = try Script(
            [model(), model(), model(0), model(2), model(1, final: true)], slots: 2, policy: .keepGoing)
        script.begin(0)
        #expect(
            script.feed(.failed(WorkerID(0), userError)) == [
                .settle(model: 2, status: .skipped(because: 0)), .settle(model: 3, status: .skipped(because: 0)),
            ])
        script.feed(.exited(WorkerID(0), Scheduler.Exit()))
        script.complete(1)
        script.complete(2)
        #expect(
            script.outcome?.models == [
                .failed(.reported(userError)), .success, .skipped(because: 0), .skipped(because: 0), .success,
            ])
        #expect(script.outcome?.status == .failed)
    }

    @Test func theFirstFailureIsTheCause() throws {
        var script = try Script([model(), model()], policy: .keepGoing)
        script.begin(0)
        script.begin(1)
        script.feed(.failed(WorkerID(1), userError), .timedOut(WorkerID(0)))
        script.feed(.exited(WorkerID(0), Scheduler.Exit(signal: 9)), .exited(WorkerID(1), Scheduler.Exit()))
        #expect(script.outcome?.cause?.model == 1)
        #expect(script.outcome?.models == [.failed(.timedOut), .failed(.reported(userError))])
    }

    @Test func aTableThatOnlyAFailedModelReadIsReleased() throws {
        var script = try Script(
            [model(), model(0, time: 2), model(final: true, time: 1)], slots: 1, policy: .keepGoing)
        script.complete(0)
        script.begin(1)
        #expect(script.forked == [0, 1])
        script.feed(.failed(WorkerID(1), userError))
        #expect(!script.actions.contains(.release(model: 0)))
        script.feed(.exited(WorkerID(1), Scheduler.Exit()))
        #expect(script.actions.contains(.release(model: 0)))
    }

    @Test func aFailedPreviewFailsNothingElse() throws {
        var script = try Script([model(final: true), preview(of: 0)])
        script.complete(0)
        script.begin(1)
        script.feed(.published(WorkerID(1)), .exited(WorkerID(1), Scheduler.Exit(signal: 9)))
        #expect(script.outcome?.status == .success)
        #expect(script.outcome?.cause == nil)
        #expect(script.outcome?.models[1] == .failed(.misbehaved("it sent a table in place of text")))
    }

    @Test(arguments: [Scheduler.FailurePolicy.stop, .keepGoing])
    func aZygoteThatDoesNotStartFailsWhatNeedsIt(_ policy: Scheduler.FailurePolicy) throws {
        let models = [
            Model(inputs: [], environment: "bad"), Model(inputs: [0], environment: "bad", isFinal: true),
            Model(inputs: [], environment: "good", isFinal: true),
        ]
        var script = try Script(models, policy: policy, warm: false)
        script.feed(.start, .zygoteReady(environment: "good"))
        script.feed(.zygoteFailed(environment: "bad", reason: "no python"))
        if policy == .stop {
            script.feed(.forked(WorkerID(0)))
            script.feed(.exited(WorkerID(0), Scheduler.Exit(signal: 9)))
        } else {
            script.complete(0)
        }
        #expect(
            script.outcome?.models == [
                .failed(.environment("no python")), .skipped(because: 0), policy == .stop ? .cancelled : .success,
            ])
    }

    @Test func aZygoteThatDiesTakesItsWorkersAlong() throws {
        // 0 has published, 1 runs, 2 is being forked, 3 waits.
        var script = try Script([model(), model(), model(), model()], slots: 3, policy: .keepGoing)
        script.begin(0)
        script.begin(1)
        script.feed(.published(WorkerID(0)))
        let failed = Status.failed(.environment("killed by signal 9"))
        #expect(
            script.feed(.zygoteFailed(environment: "e", reason: "killed by signal 9")) == [
                .kill(worker: WorkerID(0)), .kill(worker: WorkerID(1)), .discard(worker: WorkerID(2)),
                .settle(model: 2, status: failed), .settle(model: 3, status: failed),
            ])
        script.feed(.exited(WorkerID(1), Scheduler.Exit(signal: 9)), .exited(WorkerID(0), Scheduler.Exit(signal: 9)))
        script.feed(.tableReady(model: 0))
        #expect(script.outcome?.models == [.success, failed, failed, failed])
    }
}

@Suite struct CancelTests {
    @Test func beforeTheStartNothingIsStarted() throws {
        var script = try Script([model(), model(0)], warm: false)
        script.feed(.cancel)
        #expect(script.outcome == Scheduler.Outcome(status: .cancelled, cause: nil, models: [.cancelled, .cancelled]))
        #expect(script.feed(.start) == [])
    }

    @Test func allWorkersAreKilledAndAwaited() throws {
        // 0 is done, 1 runs, 2 is being forked, 3 waits for a slot.
        var script = try Script([model(final: true), model(0), model(0), model(0)], slots: 2)
        script.complete(0)
        script.begin(1)
        #expect(
            script.feed(.cancel) == [.kill(worker: WorkerID(1)), .settle(model: 3, status: .cancelled)])
        #expect(script.feed(.cancel) == [])
        #expect(script.feed(.forked(WorkerID(2))) == [.kill(worker: WorkerID(2))])
        script.feed(.exited(WorkerID(2), Scheduler.Exit(signal: 9)))
        #expect(script.outcome == nil)
        let last = script.feed(.exited(WorkerID(1), Scheduler.Exit(signal: 9)))
        #expect(
            last.prefix(3) == [
                .discard(worker: WorkerID(1)), .settle(model: 1, status: .cancelled), .release(model: 0),
            ])
        #expect(script.outcome?.status == .cancelled)
        #expect(script.outcome?.models == [.success, .cancelled, .cancelled, .cancelled])
    }

    @Test func aTableThatIsBeingSealedIsAwaited() throws {
        var script = try Script([model(), model(0)])
        script.begin(0)
        script.publish(0)
        #expect(script.feed(.cancel) == [.settle(model: 1, status: .cancelled)])
        #expect(
            script.feed(.tableReady(model: 0)).prefix(2) == [.settle(model: 0, status: .success), .release(model: 0)])
        #expect(script.outcome?.status == .cancelled)
    }

    @Test func workersThatLingerAfterAFailureAreKilled() throws {
        var script = try Script([model()])
        script.begin(0)
        #expect(script.feed(.failed(WorkerID(0), userError)) == [])
        #expect(script.feed(.cancel) == [.kill(worker: WorkerID(0))])
        script.feed(.exited(WorkerID(0), Scheduler.Exit(signal: 9)))
        #expect(script.outcome?.status == .cancelled)
        #expect(script.outcome?.cause?.model == 0)
    }

    @Test func aResultThatArrivesAfterItDoesNotCount() throws {
        var script = try Script([model()])
        script.begin(0)
        script.feed(.running(WorkerID(0)), .cancel, .published(WorkerID(0)))
        script.feed(.exited(WorkerID(0), Scheduler.Exit()))
        #expect(script.outcome?.models == [.cancelled])
    }
}
