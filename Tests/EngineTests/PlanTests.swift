import FoundationEssentials
import System
import Testing

@testable import Engine
@testable import System

@Suite struct PlanTests {
    private func model(
        _ name: String, inputs: [String] = [], environment: String = "default"
    ) -> Plan.Model {
        Plan.Model(
            kind: "python", name: name, environment: environment, inputs: inputs,
            network: false, memoryBytesMax: nil, timeoutSeconds: nil, final: false, file: nil,
            line: nil, task: [:])
    }

    private func plan(_ models: [Plan.Model], folder: String = "/p", version: Int = Plan.version) -> Plan {
        Plan(
            version: version, project: .init(name: "p", folder: folder), prepare: nil, warnings: nil,
            environments: [.init(id: "default", python: "/env/bin/python", modules: [])], models: models)
    }

    @Test func aPlanInTopologicalOrderIsAccepted() throws {
        try plan([model("a"), model("b", inputs: ["a", "a"])]).check()
    }

    @Test func aPlanTheEngineCannotRelyOnIsRefused() {
        let broken = [
            plan([], version: Plan.version + 1),
            plan([model("b", inputs: ["a"]), model("a")]),
            plan([model("a"), model("a")]),
            plan([model("a", environment: "other")]),
        ]
        for plan in broken { #expect(throws: EngineError.self) { try plan.check() } }
    }

    @Test func codeThatIsHandedOverTravelsWithThePlan() throws {
        var plan = plan([model("a")])
        #expect(!plan.json.contains("handed_over"))
        plan.handedOver = Data((0...255).map { UInt8($0) })
        let again = try JSONDecoder().decode(Plan.self, from: Data(plan.json.utf8))
        #expect(again.handedOver == plan.handedOver)
        #expect(throws: DecodingError.self) {
            let broken =
                #"{"version":1,"project":{"name":"p","folder":"/p"},"environments":[],"models":[],"handed_over":"?"}"#
            _ = try JSONDecoder().decode(Plan.self, from: Data(broken.utf8))
        }
    }
}

@Suite struct DatagramTests {
    @Test func aMessageThatIsTooLongIsAnErrorAndNothingIsSent() throws {
        let (ours, theirs) = try MessageSocket.pair()
        let channel = Channel(ours)
        #expect(throws: EngineError.self) {
            try channel.send(["op": "note", "text": .string(String(repeating: "x", count: Datagram.bytesMax))])
        }
        #expect(channel.waitingCount == 0)
        try channel.send(["op": "note"])
        guard case .message(let message) = try theirs.receive(bytesMax: 100) else { return #expect(Bool(false)) }
        #expect(Datagram(parsing: message.bytes)?.op == "note")
    }

    @Test func whatIsNoObjectWithAnOpIsNoMessage() {
        for text in ["", "[]", "{}", #"{"op":1}"#, #"{"op":"x""#] {
            #expect(Datagram(parsing: Array(text.utf8)) == nil)
        }
    }

    @Test func countsAreAllThereAndNotNegative() {
        func counts(_ copied: String) -> ByteCounts? {
            let text = """
                {"op":"published","counts":{"reshared_bytes":1,"born_shared_bytes":2,"deanonymized_bytes":3,\
                "packed_bytes":4,"copied_bytes":\(copied)}}
                """
            return Datagram(parsing: Array(text.utf8))?.counts
        }
        #expect(counts("5")?.total == 15)
        #expect(counts("-5") == nil)
        #expect(counts("null") == nil)
    }

    @Test func howPagesMovedIsAllThereOrNotAtAll() throws {
        func moves(_ refusal: String) -> KernelZeroReport? {
            let text = """
                {"op":"published","kernelzero":{"ranges":1,"refused_ranges":2,"refusal":\(refusal),"moved_pages":3,\
                "moved_huge_pages":4,"moved_swap_pages":5,"hole_pages":6,"copied_edge_pages":7,"copied_shared_pages":8,\
                "copied_pinned_pages":9,"copied_other_pages":10}}
                """
            return Datagram(parsing: Array(text.utf8))?.moves
        }
        let found = try #require(moves("95"))
        #expect(found.ranges == 1 && found.refusedRanges == 2 && found.copiedOtherPages == 10)
        #expect(found.refusal == "Operation not supported")
        #expect(moves("0") != nil && moves("0")?.refusal == nil)
        #expect(moves("-1") == nil && moves("null") == nil)
        #expect(Datagram(parsing: Array(#"{"op":"published"}"#.utf8))?.moves == nil)
    }

    @Test func whatWorkersSayOfTheWorldIsTakenAsItIs() throws {
        let text = """
            {"op":"published","rows":1,"counts":{"reshared_bytes":0,"born_shared_bytes":0,"deanonymized_bytes":0,\
            "packed_bytes":0,"copied_bytes":0},"changed":["a.csv","b.csv"],"asked":[7]}
            """
        let message = try #require(Datagram(parsing: Array(text.utf8)))
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "test", [1]))
        let published = try #require(Worker.Published(message, [file]))
        #expect(published.changedFile == "a.csv" && published.asked == "something")
    }

    @Test func aReportHasMovedPagesOnlyWhereKernelZeroIsUsed() {
        var counts = ByteCounts()
        counts.deanonymizedBytes = 4096
        var report = RunReport(run: "r", failures: [])
        func json(_ moves: KernelZeroReport?) -> String {
            let output = RunReport.Output(rows: 1, counts: counts, moves: moves)
            report.models = [
                RunReport.Model(
                    name: "m", status: "success", startMilliseconds: 0, wallMilliseconds: 1, memoryBytesMax: 1,
                    executions: 1,
                    timing: [:], output: output)
            ]
            return report.json
        }
        #expect(json(nil).contains(#""deanonymized_bytes":4096"#) && !json(nil).contains("kernelzero"))
        let moves = KernelZeroReport(
            ranges: 1, refusedRanges: 0, refusal: nil, movedPages: 1, movedHugePages: 0, movedSwapPages: 0,
            holePages: 0,
            copiedEdgePages: 0, copiedSharedPages: 0, copiedPinnedPages: 0, copiedOtherPages: 0)
        #expect(json(moves).contains(#""moved_pages":1"#) && json(moves).contains(#""refusal":null"#))
    }

    @Test func wholeNumbersOf64BitsSurvive() {
        let value: JSONValue = ["rows": .integer(.max)]
        #expect(JSONValue(parsing: value.utf8) == value)
    }
}
