import ArgumentParser
import Engine

/// `zerrow run`: execute a project.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a project's models and show what came out.",
        discussion: """
            Reads the project, starts a warm process per environment, and runs every model in a sandboxed process forked from it, as \
            many at once as the DAG and the cores allow. Progress and what models print go to stderr. At the end: rows, bytes, time and \
            peak memory per model, how the bytes travelled, and the first rows of the last models' tables.

            How bytes travel: reshared (the model returned memory of its input), born shared (allocated in shared memory from the \
            start), packed (buffers under 64 KiB, gathered), deanonymized (moved into shared memory by the kernel module KernelZero, \
            where it is loaded: 'zerrow doctor' tells), copied (none of these: correct, but it cost a copy).

            Where 'zerrow serve' runs, its engine does the work: what is warm there need not be made again.

              zerrow run -p examples/tpch
              zerrow run -p examples/tpch --param segment=MACHINERY
              zerrow run -p examples/tpch --output json | jq .wall_ms
              zerrow run -p examples/tpch revenue
              zerrow run --select tag:daily +report --exclude 'stg_*'
              zerrow run -p examples/tpch --preview tail --rows 3
              zerrow run -p examples/tpch --detach     prints a job's id; 'zerrow job logs ID' has what it said
            """)

    @OptionGroup var project: ProjectOptions
    @OptionGroup var engineOptions: EngineOptionGroup
    @OptionGroup var runOptions: RunOptionGroup

    @OptionGroup var selection: SelectionOptions

    @Flag(
        help: """
            Run again whenever a file of the project, or of its sources, changes, until Ctrl-C. What did not change is not made again.
            """)
    var watch = false

    @Flag(
        name: .customLong("retry-failed"),
        help: "Run the models that failed, or were not run, in the project's last run, with what they need.")
    var retryFailed = false

    @Flag(name: .customLong("dry-run"), help: "Run all models but publish and show no result but the summary.")
    var dryRun = false

    @Flag(
        name: .customLong("no-transaction"),
        help: """
            Publish each table as soon as it is written and the expectations that read it are met, also where another model fails later. \
            Without it all tables of a run are published together at its end, or none.
            """)
    var noTransaction = false

    @Option(
        name: [.customShort("O"), .long],
        help: """
            tty: a table for people. json: one JSON object on stdout. jsonl: what happens, as it happens, a JSON object per line.
            """)
    var output = Format.tty

    /// How the run is told on standard output.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case tty, json, jsonl
    }

    @Option(
        help: ArgumentHelp(
            "Which rows of each final table to show: on and head mean the first ones, tail the last.",
            valueName: "which"))
    var preview = Preview.on

    @Option(
        name: .long, parsing: .unconditional, help: ArgumentHelp("Rows of each final table to show.", valueName: "n"))
    var rows = 10

    @OptionGroup var export: ExportOptions

    @Flag(
        name: [.customShort("d"), .long],
        help: """
            Print the job's id when the project has been read, and let the run go on in the background, without this terminal. 'job logs' has \
            what it says, 'job get' how far it is, 'job stop' ends it.
            """)
    var detach = false

    // For the benchmarks: a warm engine without a server.
    @Flag(name: .customLong("again-on-line"), help: .hidden)
    var againOnLine = false

    /// Which rows are shown.
    enum Preview: String, ExpressibleByArgument, CaseIterable {
        case off, on, head, tail
    }

    func validate() throws {
        try Self.check(rows: rows)
        if detach, runOptions.handTables != nil {
            throw ValidationError("--detach leaves nobody to hand tables to")
        }
        if retryFailed, !selection.models.isEmpty || !selection.select.isEmpty {
            throw ValidationError("--retry-failed says itself which models are run")
        }
        if watch, detach || againOnLine || retryFailed {
            throw ValidationError("--watch goes on in this terminal, with all models that are selected")
        }
        if detach, againOnLine { throw ValidationError("--detach leaves no line to read") }
        if detach, output == .jsonl {
            throw ValidationError("--detach leaves nothing to watch: 'zerrow job get ID -O json' says how far it is")
        }
    }

    func run() throws {
        var call = RunCall(
            project: project, engine: engineOptions, run: runOptions, output: output == .json ? .json : .tty,
            export: export)
        call.showsEvents = output == .jsonl
        let hasRows = !dryRun && !detach && output == .tty && preview != .off
        call.rows = .preview(hasRows ? rows : 0, isTail: preview == .tail)
        call.preview = preview.rawValue
        call.selection = selection
        if retryFailed {
            call.selection?.models += try FailedModels.ofLastRun(in: project.project, Environment.variables)
            if call.selection?.models.isEmpty ?? true {
                Output.note("nothing failed in the project's last run")
                return
            }
        }
        call.isDryRun = dryRun
        call.isTransactional = !noTransaction
        call.isDetached = detach
        call.againOnLine = againOnLine
        if watch { Watch.run(call, words: CommandLine.arguments.dropFirst().filter { $0 != "--watch" }) }
        CommandRun.run(call)
    }

    /// Throws `ValidationError` for a number of rows that can't be shown.
    static func check(rows: Int) throws {
        if rows < 0 { throw ValidationError("--rows must be 0 or more") }
    }
}
