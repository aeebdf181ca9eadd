import Testing

@testable import Engine

@Suite struct PlanTests {
    private func model(
        _ name: String, inputs: [String] = [], readPaths: [String] = [], environment: String = "default"
    ) -> Plan.Model {
        Plan.Model(
            kind: readPaths.isEmpty ? "python" : "scan", name: name, environment: environment, inputs: inputs,
            readPaths: readPaths, network: false, memoryBytesMax: nil, timeoutSeconds: nil, final: false, file: nil,
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

    @Test func aModelSeesNoSourceAndAScanItsOwn() {
        let scan = model("s", readPaths: ["/p/data/a"])
        let plan = plan([scan, model("t", readPaths: ["/q"]), model("m", inputs: ["s"])])
        #expect(plan.hiddenPaths(from: nil) == ["/p/data/a", "/q"])
        #expect(plan.hiddenPaths(from: plan.models[2]) == ["/p/data/a", "/q"])
        #expect(plan.hiddenPaths(from: scan) == ["/q"])
    }

    @Test func whatHoldsTheProjectCannotBeHidden() {
        let plan = plan([model("s", readPaths: ["/p"])], folder: "/p/project")
        #expect(plan.hiddenPaths(from: nil).isEmpty)
    }
}

@Suite struct DatagramTests {
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

    @Test func wholeNumbersOf64BitsSurvive() {
        let value: JSONValue = ["rows": .integer(.max)]
        #expect(JSONValue(parsing: value.utf8) == value)
    }
}
