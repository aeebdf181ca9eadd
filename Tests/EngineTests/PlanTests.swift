import FoundationEssentials
import System
import Testing

@testable import Engine
@testable import System

@Suite struct PlanTests {
    private func model(
        _ name: String, inputs: [String] = [], environment: String = "default", key: String? = nil
    ) -> Plan.Model {
        var model = Plan.Model(
            kind: "python", name: name, environment: environment, inputs: inputs,
            network: false, memoryBytesMax: nil, timeoutSeconds: nil, final: false, file: nil,
            line: nil, task: [:])
        model.key = key
        return model
    }

    private func plan(
        _ models: [Plan.Model], folder: String = "/p", version: Int = Plan.version,
        python: String = "/env/bin/python", modules: [String] = []
    ) -> Plan {
        Plan(
            version: version, project: .init(name: "p", folder: folder), prepare: nil, warnings: nil,
            environments: [.init(id: "default", python: python, modules: modules)], models: models)
    }

    private func hiding(covered: [String] = [], rebuilt: [Plan.Hidden.Folder] = []) -> Plan {
        var plan = plan([model("a")])
        plan.hidden = Plan.Hidden(covered: covered, rebuilt: rebuilt)
        return plan
    }

    @Test func aPlanInTopologicalOrderIsAccepted() throws {
        try plan([model("a"), model("b", inputs: ["a", "a"])]).check()
    }

    @Test func aPlanTheEngineCannotRelyOnIsRefused() {
        let long = String(repeating: "x", count: 2000)
        let broken = [
            plan([], version: Plan.version + 1),
            plan([model("b", inputs: ["a"]), model("a")]),
            plan([model("a"), model("a")]),
            plan([model("a", environment: "other")]),
            plan([model("")]),
            plan([model("a\0b")]),
            plan([model(long)]),
            plan([model("a", environment: long)]),
            hiding(covered: ["relative"]),
            hiding(covered: ["/" + long + long + long + long]),
            hiding(rebuilt: [.init(folder: "/a\0b", shown: [])]),
            hiding(rebuilt: [.init(folder: "/p", shown: ["x"])]),
            plan([model("a", key: "../../etc/passwd")]),
            plan([model("a", key: "")]),
            plan([model("a", key: String(repeating: "a", count: 200))]),
            plan([model("a")], folder: "p"),
            plan([model("a")], python: ""),
            plan([model("a")], python: "python"),
            plan([model("a")], modules: [long]),
        ]
        for plan in broken {
            let error = #expect(throws: EngineError.self) { try plan.check() }
            #expect(error.map { $0.description.utf8.count < 2000 } ?? false, "what is quoted is cut short")
        }
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

    @Test func figuresThatMakeNoSenseAreNoReasonToRefuseAPlan() throws {
        var lying = model("a")
        lying.expectedBytes = .max
        lying.memoryBytesMax = .max
        lying.timeoutSeconds = 1e308
        try plan([lying]).check()
    }

    @Test func whatThePlannerAnswersIsAPlanOrAnErrorOfItsOwn() throws {
        let good = Array(plan([model("a")]).json.utf8)
        #expect(try PlannerAnswer.plan(good).models.count == 1)
        let deep = Array((String(repeating: "[", count: 300) + String(repeating: "]", count: 300)).utf8)
        for bytes in [[], Array("null".utf8), Array("{}".utf8), deep, Array(good.dropLast()), good + good] {
            #expect(throws: EngineError.self) { _ = try PlannerAnswer.plan(bytes) }
            #expect(PlannerAnswer.problems(bytes) == nil)
        }
        let problems = Array(#"{"errors":[{"code":"x","message":"m"}]}"#.utf8)
        #expect(PlannerAnswer.problems(problems)?.first?.message == "m")
    }
}
