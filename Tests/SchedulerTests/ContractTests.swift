import Scheduler
import Testing

/// What only a faulty engine can do, traps.
@Suite struct ContractTests {
    @Test func aRunStartsOnce() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model()])
            script.feed(.start)
        }
    }

    @Test func nothingButACancelComesBeforeTheStart() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model()], warm: false)
            script.feed(.zygoteReady(environment: "e"))
        }
    }

    @Test func aWorkerThatWasNeverForkedHasNoEvents() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model()])
            script.feed(.started(WorkerID(5)))
        }
    }

    @Test func aWorkerThatIsOverHasNoMessages() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model(), model()])
            script.complete(0)
            script.feed(.running(WorkerID(0)))
        }
    }

    @Test func aWorkerIsForkedOnce() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model()])
            script.feed(.forked(WorkerID(0)), .forked(WorkerID(0)))
        }
    }

    @Test func aWorkerIsNotDeadBeforeItIsForked() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model()])
            script.feed(.exited(WorkerID(0), Scheduler.Exit()))
        }
    }

    @Test func aTableIsReadyOnlyAfterASeal() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model(), model()])
            script.feed(.tableReady(model: 0))
        }
    }

    @Test func anEnvironmentThatNobodyNeedsHasNoZygote() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model()])
            script.feed(.zygoteReady(environment: "other"))
        }
    }

    @Test func aTableThatIsReadIsNotDropped() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model(), model(0)])
            script.complete(0)
            script.feed(.dropped(model: 0))
        }
    }

    @Test func aTableThatIsNotThereIsNotDropped() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model(), model(0)])
            script.feed(.dropped(model: 0))
        }
    }

    @Test func aResultOfTheRunIsNotDropped() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model(final: true), model()])
            script.complete(0)
            script.feed(.dropped(model: 0))
        }
    }

    @Test func aTableThatCannotBeMadeAgainIsNotDropped() async {
        await #expect(processExitsWith: .failure) {
            var script = try Script([model(rollsBack: false), model(), model(0, 1)])
            script.complete(0)
            script.feed(.dropped(model: 0))
        }
    }
}
