import Engine
import Terminal

extension Summary {
    /// The table at the end of a run.
    static func text(of report: RunReport, columns: Int, isColoured: Bool) -> String {
        let summary = Summary(
            results: report.models.map { ModelResult($0) }, time: .nanoseconds(Int64(report.wallMilliseconds * 1e6)))
        return summary.text(columns: columns, style: .output(isColoured: isColoured))
    }
}
