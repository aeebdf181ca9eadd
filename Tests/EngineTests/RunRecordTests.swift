import Scheduler
import Store
import System
import Testing

@testable import Engine

@Suite struct RunRecordTests {
    private let beganAt = MonotonicClock.nanoseconds()

    private func record(_ names: [String], usesCache: Bool = true) -> RunRecord {
        let models = names.map { name in
            var model = Plan.Model(
                kind: "python", name: name, environment: "default", inputs: [], network: false, memoryBytesMax: nil,
                timeoutSeconds: nil, final: false, file: nil, line: nil, task: [:])
            model.key = "key of \(name)"
            return model
        }
        let plan = Plan(
            version: Plan.version, project: .init(name: "p", folder: "/p"), prepare: nil, warnings: nil,
            environments: [.init(id: "default", python: "/python", modules: [])], models: models)
        return RunRecord(plan, usesCache: usesCache, beganAt: beganAt)
    }

    private func made(_ record: RunRecord, _ model: Int, keptUnless reason: String? = nil) throws {
        let text = """
            {"op":"published","rows":9,"timing":{"user_ms":5,"user_at_ms":\(Double(beganAt) / 1e6 + 7)},"counts":
            {"reshared_bytes":0,"born_shared_bytes":5,"deanonymized_bytes":0,"packed_bytes":1,"copied_bytes":0}}
            """
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "test", [1]))
        let message = try WorkerMessage(
            #require(Datagram(parsing: Array(text.utf8))), [file], descriptorBytesMax: 100)
        guard case .published(let publication) = message else { throw Malformed("another message") }
        let worker = try WorkerProcessTests.worker()
        record.begin(model)
        record.made(model, rows: 3, by: worker, publication, keptUnless: reason)
    }

    @Test func theRowsAreThoseOfTheTableNotThoseThatTheWorkerClaims() throws {
        let record = record(["a"])
        try made(record, 0)
        let model = record.models[0]
        #expect(model.output?.rows == 3 && model.output?.bytes == 6 && model.isKept && model.executions == 1)
        // Durations stay, moments count from the beginning of the run.
        #expect(model.timing["user_ms"] == 5)
        #expect(abs((model.timing["user_at_ms"] ?? 0) - 7) < 0.01)
        #expect((model.timing["ready_at_ms"] ?? -1) >= (model.timing["fork_at_ms"] ?? .infinity))
    }

    @Test func aTableThatIsFoundIsCachedUntilItIsMadeAgain() throws {
        let record = record(["a"])
        var counts = ByteCounts()
        counts.copiedBytes = 70
        record.found(0, .init(rows: 4, counts: counts), units: 6)
        record.settle(0, .success, failure: nil)
        #expect(record.models[0].status == "cached" && record.models[0].decache?.reusedUnits == 6)
        // The run only names its bytes.
        #expect(record.models[0].output?.counts.resharedBytes == 70 && record.models[0].output?.counts.copiedBytes == 0)
        try made(record, 0)
        record.settle(0, .success, failure: nil)
        #expect(record.models[0].status == "success" && record.models[0].executions == 1)
    }

    @Test func onlyAResultCanBeKept() throws {
        let record = record(["a", "b", "c", "d"])
        try made(record, 0, keptUnless: "it asked for the time")
        #expect(!record.models[0].isKept && record.models[0].because == "it asked for the time")
        record.settle(0, .success, failure: nil)
        record.settle(1, .failed(.fork("x")), failure: "x")
        record.settle(2, .skipped(because: 1), failure: "not run, because 'b' failed")
        record.settle(3, .cancelled, failure: nil)
        #expect(record.models.map(\.status) == ["success", "failed", "skipped", "cancelled"])
        #expect(record.models.map(\.isKept) == [false, false, false, false])
        #expect(record.models[0].because != nil && record.models[1].because == nil)
    }

    @Test func aRunThatSaysNoCacheKeepsNothing() {
        let record = record(["a"], usesCache: false)
        #expect(!record.models[0].isKept && record.models[0].because == RunRecord.saysNoCache)
    }

    @Test func aRunIsASuccessOnlyIfNothingFailed() {
        #expect(record(["a"]).report("r", .success).status == "success")
        let failing = record(["a"])
        failing.fail("a", "the disk is full")
        let report = failing.report("r", .success)
        #expect(report.status == "failed" && report.error?.message == "the disk is full" && report.errors.count == 1)
        let cancelled = record(["a"]).report("r", .cancelled)
        #expect(cancelled.status == "failed" && cancelled.error?.message == "the run was cancelled")
        #expect(failing.report("r", .cancelled).error?.model == "a")
    }

    @Test func previewsComeInTheOrderOfTheModels() {
        let record = record(["a", "b", "c"])
        for model in [2, 0] { record.show("text of \(model)", of: model) }
        #expect(record.report("r", .success).previews.map(\.model) == ["a", "c"])
    }

    @Test func ofManyWaitsTheLastAreKept() {
        let record = record(["a"])
        let waits = (0..<RunRecord.slotWaitsMax + 5).map {
            SlotWait(run: "r", holder: "h", model: "m\($0)", heldMilliseconds: 1, usesProcessor: true)
        }
        record.add(Array(waits.prefix(50)))
        record.add(Array(waits.dropFirst(50)))
        #expect(record.report("r", .success).slotWaits == Array(waits.suffix(RunRecord.slotWaitsMax)))
    }
}
