import ArgumentParser
import Engine
import System

/// Which models of a project are meant, in dbt's words.
struct SelectionOptions: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            """
            Models to run, with those that they need and no others; all without. Also selectors: +orders (and what it needs), orders+ (and \
            what needs it), 2+orders, @orders, 'stg_*', tag:daily, file:sales.py, kind:sql, namespace:raw, source:events; a,b narrows.
            """, valueName: "selector"))
    var models: [String] = []

    @Option(
        name: [.customShort("s"), .customShort("m"), .long, .customLong("models")], parsing: .upToNextOption,
        help: ArgumentHelp("The same, as dbt has it; several may follow.", valueName: "selector"))
    var select: [String] = []

    @Option(
        name: .long, parsing: .upToNextOption,
        help: ArgumentHelp(
            "Models not to run, unless others need them. Their tables are neither shown nor published.",
            valueName: "selector"))
    var exclude: [String] = []

    func validate() throws {
        for model in models + select where model.contains("/") && !model.contains(":") && Files.isFolder(model) {
            throw ValidationError("'\(model)' is a folder: name the project's with -p \(model)")
        }
    }

    /// Has a project be read for these models.
    func narrow(_ request: inout PlanRequest) {
        request.selectors = models + select
        request.excluded = exclude
    }
}
