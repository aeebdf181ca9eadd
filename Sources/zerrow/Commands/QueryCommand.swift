import ArgumentParser
import Engine
import Glibc
import System

/// `zerrow query`: one SQL statement over a project's tables.
struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Run one SQL statement over a project's sources and models.",
        discussion: """
            Runs only the models that the statement needs. The rows go to stdout, everything else to stderr.

            As many rows as a terminal can show are enough for most. With --all-rows all are written, however many and long they are, as \
            fast as they are read; so they are where more than \(previewRowsMax) are wanted, and with --no-trunc. Meanwhile they are in a \
            folder below TMPDIR (/var/tmp without), where nobody else can read them.

              zerrow query -p examples/tpch 'select count(*) from lineitem'
              zerrow query -p examples/tpch -f revenue.sql
              zerrow query -p examples/tpch --all-rows 'select * from nation' > nation.txt
            """)

    /// More rows than this are shown piece by piece: the text of a preview comes as one message, which has its limit.
    private static let previewRowsMax = 200

    @Argument(help: ArgumentHelp("The statement; it may begin with a comment.", valueName: "SQL"))
    var sql: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Read the statement from this file; '-' is standard input.", valueName: "file"))
    var file: String?

    @OptionGroup var project: ProjectOptions
    @OptionGroup var engineOptions: EngineOptionGroup
    @OptionGroup var runOptions: RunOptionGroup

    @Option(
        name: [.customShort("O"), .long],
        help: """
            tty, table: rows for people. csv: all rows, with a line of names. jsonl: all rows, an object of JSON each. json: the run as one \
            JSON object, with all rows as objects in 'rows'. Without it, standard output that goes to a file whose name ends with .csv, \
            .jsonl, .ndjson or .json decides.
            """)
    var output: Format?

    /// How the rows are written.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case tty, table, csv, json, jsonl
    }

    @Option(
        name: [.long, .customLong("max-rows")], parsing: .unconditional,
        help: ArgumentHelp("Rows to write: of a table 40, else all, if this says nothing.", valueName: "n"))
    var rows: Int?

    @Flag(name: .customLong("all-rows"), help: "Show all rows, however many they are.")
    var allRows = false

    @Flag(name: .customLong("no-trunc"), help: "Show cells and lines in full length.")
    var noTrunc = false

    @OptionGroup var export: ExportOptions

    /// The longest statement that is read from a file, in bytes.
    private static let statementBytesMax = 1 << 20

    func validate() throws {
        try RunCommand.check(rows: rows ?? 0)
        if (sql == nil) == (file == nil) {
            throw ValidationError("give one statement: as an argument, or with --file")
        }
    }

    func run() throws {
        let output = output ?? Self.format(ofFile: Self.standardOutputPath)
        var call = RunCall(
            project: project, engine: engineOptions, run: runOptions, output: output == .json ? .json : .tty,
            export: export)
        call.query = try file.map(Self.statement) ?? sql
        switch output {
        case .tty, .table:
            let rows = rows ?? Self.tableRows
            call.rows =
                allRows || noTrunc || rows > Self.previewRowsMax
                ? .stream(allRows ? nil : rows, isWhole: noTrunc) : .preview(rows, isTail: false)
        case .csv, .json, .jsonl:
            call.rowFormat = output == .csv ? .csv : .json
            if rows != 0 || allRows || output != .json { call.rows = .stream(allRows ? nil : rows, isWhole: true) }
        }
        CommandRun.run(call)
    }

    /// The rows of a table that is shown when nobody says how many.
    private static let tableRows = 40

    /// The file that standard output is; nil where it is no file with a name.
    private static var standardOutputPath: String? {
        let descriptor = "/proc/self/fd/1"
        return Files.isRegular(descriptor) ? Files.linkTarget(descriptor) : nil
    }

    /// The format that a file's name stands for.
    private static func format(ofFile path: String?) -> Format {
        switch path.map({ $0.split(separator: ".").last.map { $0.lowercased() } ?? "" }) {
        case "csv": .csv
        case "jsonl", "ndjson": .jsonl
        case "json": .json
        default: .tty
        }
    }

    /// The statement in a file. A text that is no UTF-8 is refused.
    private static func statement(in path: String) throws -> String {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes =
                try path == "-"
                ? Files.readStandardInput(bytesMax: statementBytesMax)
                : Files.read(path, bytesMax: statementBytesMax)
        } catch {
            throw ValidationError("the statement can't be read from \(path): \(SystemError.reason(error.errno))")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ValidationError("\(path) is not in UTF-8: save it so")
        }
        return text
    }
}
