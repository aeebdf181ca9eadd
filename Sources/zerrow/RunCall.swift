import Engine
import Glibc
import System

/// One call of `run` or `query`: everything that its options say.
struct RunCall {
    /// How the rows of the final tables are shown.
    enum Rows: Equatable {
        /// So many of the first, or last, rows; the text comes from the run itself.
        case preview(Int, isTail: Bool)
        /// So many rows, or all, written piece by piece; no cell is cut if they are whole.
        case stream(Int?, isWhole: Bool)

        /// How many the run's own previews show.
        var previewRows: Int { if case .preview(let rows, _) = self { rows } else { 0 } }
    }

    let project: ProjectOptions
    var engine: EngineOptionGroup
    let run: RunOptionGroup
    let output: OutputFormat
    /// How rows are written piece by piece.
    var rowFormat = RowReader.Format.table
    /// Whether its events are printed as JSON lines.
    var showsEvents = false
    var rows = Rows.preview(0, isTail: false)
    /// The statement; nil for a run of the whole project.
    var query: String?
    /// Where its tables are written to.
    let export: ExportOptions
    /// The models that are wanted; nil: all.
    var selection: SelectionOptions?
    var isDryRun = false
    /// Whether its tables are published together at its end.
    var isTransactional = true
    /// Whether it goes on without its terminal.
    var isDetached = false
    /// The word that `--preview` was given.
    var preview = "on"
    var againOnLine = false

    /// The options of the run. Throws `EngineError.options` for a folder that can't be used.
    func runOptions(_ id: String) throws -> RunOptions {
        var options = RunOptions()
        options.id = againOnLine ? nil : id
        options.keepsGoing = run.keepGoing
        options.timeoutSeconds = run.timeout
        options.priority = run.chosenPriority
        options.slots = engine.jobs
        options.memoryBytesMax = engine.memory?.bytes
        options.usesCache = !run.noCache
        options.usesDeCache = !run.noDeCache
        options.isTransactional = isTransactional
        options.handsTables = run.handTables != nil
        options.previewRows = rows.previewRows
        if case .preview(_, let isTail) = rows { options.previewsTail = isTail }
        options.previewWidth = Output.columns(1)
        let folder = try export.checkedFolder()
        if export.format == .arrow { options.exportFolder = folder } else { options.sinkFolder = folder }
        return options
    }

    /// The job that it is, not begun.
    func job(_ id: String) -> Job {
        var options: [String: JSONValue] = [
            "cache": .bool(!run.noCache), "detach": .bool(isDetached), "dry_run": .bool(isDryRun),
            "keep_going": .bool(run.keepGoing), "namespace": project.namespace.map { .string($0) } ?? .null,
            "preview": .string(preview), "priority": .integer(Int64(run.chosenPriority)),
            "ref": .string(run.ref ?? RunOptionGroup.branch), "strict": project.strict.map { .bool($0) } ?? .null,
            "transaction": .bool(isTransactional),
        ]
        if let selection {
            let selectors = selection.models + selection.select
            if !selectors.isEmpty { options["select"] = .array(selectors.map { .string($0) }) }
            if !selection.exclude.isEmpty { options["exclude"] = .array(selection.exclude.map { .string($0) }) }
        }
        if let query { options["sql"] = .string(query) }
        if !run.arguments.isEmpty { options["args"] = .array(run.arguments.map { .string($0) }) }
        return Job(id: id, kind: query == nil ? .run : .query, folder: project.project, options: options)
    }
}
