import ArgumentParser
import Engine
import Glibc
import System

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
            """)

    @OptionGroup var project: ProjectOptions
    @OptionGroup var engineOptions: EngineOptionGroup
    @OptionGroup var runOptions: RunOptionGroup

    @Flag(name: .customLong("dry-run"), help: "Run all models but publish and show no result but the summary.")
    var dryRun = false

    @Flag(
        name: .customLong("no-transaction"),
        help: """
            Publish each table as soon as it is written and the expectations that read it are met, also where another model fails later. \
            Without it all tables of a run are published together at its end, or none.
            """)
    var noTransaction = false

    @Option(name: [.customShort("O"), .long], help: "tty: a table for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    @Option(
        name: .long, parsing: .unconditional, help: ArgumentHelp("Rows of each final table to show.", valueName: "n"))
    var rows = 10

    @Option(
        name: .long,
        help: ArgumentHelp("Write the final tables into this folder, as Arrow IPC streams.", valueName: "dir"))
    var export: String?

    // For the benchmarks: a warm engine without a server.
    @Flag(name: .customLong("again-on-line"), help: .hidden)
    var againOnLine = false

    func validate() throws { try Self.check(rows: rows) }

    func run() throws {
        CommandRun.run(
            project, engineOptions, runOptions, output: output, rows: dryRun || output == .json ? 0 : rows, query: nil,
            exportFolder: export, againOnLine: againOnLine, isDryRun: dryRun, isTransactional: !noTransaction)
    }

    /// Throws `ValidationError` for a number of rows that can't be shown.
    static func check(rows: Int) throws {
        if rows < 0 { throw ValidationError("--rows must be 0 or more") }
    }
}

/// `zerrow query`: one SQL statement over a project's tables.
struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Run one SQL statement over a project's sources and models.",
        discussion: """
            Runs only the models that the statement needs.

              zerrow query -p examples/tpch 'select count(*) from lineitem'
              zerrow query -p examples/tpch -f revenue.sql
            """)

    @Argument(help: ArgumentHelp("The statement.", valueName: "SQL"))
    var sql: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Read the statement from this file; '-' is standard input.", valueName: "file"))
    var file: String?

    @OptionGroup var project: ProjectOptions
    @OptionGroup var engineOptions: EngineOptionGroup
    @OptionGroup var runOptions: RunOptionGroup

    @Option(name: [.customShort("O"), .long], help: "tty: the rows. json: the run as one JSON object on stdout.")
    var output = OutputFormat.tty

    @Option(
        name: [.long, .customLong("max-rows")], parsing: .unconditional,
        help: ArgumentHelp("Rows to show.", valueName: "n"))
    var rows = 40

    /// The longest statement that is read from a file, in bytes.
    private static let statementBytesMax = 1 << 20

    func validate() throws {
        try RunCommand.check(rows: rows)
        if (sql == nil) == (file == nil) {
            throw ValidationError("give one statement: as an argument, or with --file")
        }
    }

    func run() throws {
        CommandRun.run(
            project, engineOptions, runOptions, output: output, rows: output == .json ? 0 : rows,
            query: try file.map(Self.statement) ?? sql)
    }

    /// The statement in a file. A text that is no UTF-8 is refused.
    private static func statement(in path: String) throws -> String {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try Files.read(path == "-" ? "/dev/stdin" : path, bytesMax: statementBytesMax)
        } catch {
            throw ValidationError("the statement can't be read from \(path): \(SystemError.reason(error.errno))")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ValidationError("\(path) is not in UTF-8: save it so")
        }
        return text
    }
}
