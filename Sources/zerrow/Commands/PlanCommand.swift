import ArgumentParser
import Engine
import Terminal

/// `zerrow plan`: the DAG, nothing run.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show a project's DAG; run nothing.",
        discussion: """
            Reads the project's files without importing any of its code, checks all that can be checked before a run (tables, columns, \
            filters, parameters, cycles), and shows each model with what it reads.

              zerrow plan -p examples/tpch
              zerrow plan -p examples/tpch +revenue -O svg > revenue.svg
            """)

    @OptionGroup var project: ProjectOptions

    @OptionGroup var selection: SelectionOptions

    @Option(
        name: [.customShort("O"), .long],
        help: """
            tty: a tree for people. json: the plan, or what is wrong, as one JSON object on stdout. svg: a picture. mermaid: a flowchart for \
            Markdown.
            """)
    var output = Format.tty

    /// How the DAG is shown.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case tty, json, svg, mermaid
    }

    @Flag(
        name: .customLong("no-sandbox"),
        help: "Read the project in an ordinary process, without namespaces. For machines that forbid them.")
    var noSandbox = false

    func run() throws {
        do {
            let plan = try CommandRun.plan(project, selection, noSandbox: noSandbox)
            for warning in plan.warnings ?? [] { Output.note("warning: " + warning.text) }
            switch output {
            case .json: Output.result(plan.json)
            case .tty: Output.result(plan.tree.text(columns: Output.columns(1), style: Style(for: 1)))
            case .svg: Output.result(plan.tree.svg())
            case .mermaid: Output.result(plan.tree.mermaid())
            }
        } catch {
            let failures = CommandRun.failures(of: error)
            if output == .json {
                let errors = failures.map { failure in
                    JSONValue.object([
                        "model": failure.model.map { .string($0) } ?? .null, "message": .string(failure.message),
                    ])
                }
                Output.result(JSONText.of(["errors": .array(errors)]))
            }
            for failure in failures { Output.error(failure.text) }
            Output.leave(1)
        }
    }
}
