import FoundationEssentials
import System

/// The planner's answers, read in this one place: the planner has read a stranger's project.
enum PlannerAnswer {
    /// Its plan, checked.
    static func plan(_ bytes: [UInt8]) throws(EngineError) -> Plan {
        try checkSize(bytes)
        let plan: Plan
        do {
            plan = try JSONDecoder().decode(Plan.self, from: Data(bytes))
        } catch {
            throw .planner("its answer does not read as a plan: \("\(error)".prefix(1000))")
        }
        try plan.check()
        return plan
    }

    /// The mistakes that it finds in the project; nil if it names none that can be read.
    static func problems(_ bytes: [UInt8]) -> [Plan.Problem]? {
        struct Answer: Decodable { var errors: [Plan.Problem] }
        guard (try? checkSize(bytes)) != nil,
            let answer = try? JSONDecoder().decode(Answer.self, from: Data(bytes)), !answer.errors.isEmpty
        else { return nil }
        return answer.errors
    }

    private static func checkSize(_ bytes: [UInt8]) throws(EngineError) {
        guard bytes.count <= Limit.planBytesMax else {
            throw .planner("its answer has \(bytes.count) bytes, \(Limit.planBytesMax) are allowed")
        }
        if let excess = JSONShape(bytes).excess { throw .planner("its answer \(excess)") }
    }
}
