import Engine
import Glibc
import System
import Terminal

extension Style {
    /// The style for what is printed to a descriptor of this process.
    init(for descriptor: Int32) {
        self.init(isTerminal: isatty(descriptor) == 1, environment: Environment.variables)
    }
}

extension RunReport {
    /// The table that ends a run, and a line for each table that was published.
    func summary(columns: Int, style: Style) -> String {
        let table = Summary(
            results: models.map { ModelResult($0) }, time: .nanoseconds(Int64(wallMilliseconds * 1e6))
        ).text(columns: columns, style: style)
        return ([table] + published.map(\.line)).joined(separator: "\n")
    }
}

extension RunReport.PublishedTable {
    /// As in `published shop.sales: 1,000 rows, 13.7 KiB in 1 file (REPLACE)`.
    var line: String {
        let size = Quantity.bytes(UInt64(clamping: bytes))
        let count = files == 1 ? "1 file" : "\(Quantity.count(Int64(files))) files"
        let rowCount = rows == 1 ? "1 row" : "\(Quantity.count(rows)) rows"
        return "published \(table): \(rowCount), \(size) in \(count) (\(strategy))"
    }
}

extension Plan {
    /// The DAG.
    var tree: PlanTree {
        let index = Dictionary(models.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        return PlanTree(
            nodes: models.map { model in
                PlanTree.Node(
                    name: model.name, kind: model.task["expectation"] == nil ? model.kind : "expectation",
                    place: model.file.map { file in file + (model.line.map { ":\($0)" } ?? "") },
                    details: details(of: model), inputs: model.inputs.compactMap { index[$0] })
            })
    }

    /// Facts worth knowing about a model beside its inputs.
    private func details(of model: Model) -> String? {
        var parts: [String] = []
        if case .array(let columns)? = model.task["columns"] { parts.append("\(columns.count) columns") }
        if let filter = model.task["filter"], filter != .null { parts.append("filtered") }
        if let engine = model.task["engine"]?.string { parts.append(engine) }
        if let title = environments.first(where: { $0.id == model.environment })?.title { parts.append(title) }
        for source in model.streamed ?? [] { parts.append("streams \(source.table)") }
        if model.network { parts.append("network") }
        if let memory = model.memoryBytesMax { parts.append("memory \(Quantity.bytes(memory))") }
        return parts.isEmpty ? nil : parts.joined(separator: ", ")
    }
}

extension Doctor {
    /// The checks as a list for people.
    static func text(of checks: [Check], style: Style) -> String {
        let width = checks.map(\.name.count).max() ?? 0
        var lines: [String] = []
        for check in checks {
            let (mark, tone): (String, Style.Tone) =
                switch check.status {
                case .present: (style.success, .good)
                case .limited: ("-", .caution)
                case .missing: (style.failure, .bad)
                }
            let padding = String(repeating: " ", count: width - check.name.count)
            lines.append("\(style.paint(mark, tone)) \(check.name)\(padding)  \(check.detail)")
            if let remedy = check.remedy { lines.append(String(repeating: " ", count: width + 4) + "→ " + remedy) }
        }
        return lines.joined(separator: "\n")
    }
}
