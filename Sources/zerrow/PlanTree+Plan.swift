import Engine
import Terminal

extension PlanTree {
    /// The DAG of a plan, as a tree.
    static func text(of plan: Plan, columns: Int, isColoured: Bool) -> String {
        let index = Dictionary(uniqueKeysWithValues: plan.models.enumerated().map { ($1.name, $0) })
        let nodes = plan.models.map { model in
            Node(
                name: model.name, kind: model.kind,
                place: model.file.map { $0 + (model.line.map { ":\($0)" } ?? "") },
                details: details(of: model), inputs: model.inputs.map { index[$0]! })
        }
        return PlanTree(nodes: nodes).text(columns: columns, style: .output(isColoured: isColoured))
    }

    /// What a user wants to know before anything runs: what is read of a source, and what a model may do or take.
    private static func details(of model: Plan.Model) -> String? {
        var details: [String] = []
        if case .array(let columns)? = model.task["columns"] {
            details.append(columns.count == 1 ? "1 column" : "\(columns.count) columns")
        }
        switch model.task["filter"] {
        case nil, .null?: break
        default: details.append("filtered")
        }
        if model.network {
            details.append("with network")
        }
        if let bytes = model.memoryBytesMax {
            details.append("at most \(Quantity.bytes(bytes))")
        }
        return details.isEmpty ? nil : details.joined(separator: ", ")
    }
}
