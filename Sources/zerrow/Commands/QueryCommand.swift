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
        help: "tty: the rows. json: the run as one JSON object on stdout, without the rows.")
    var output = OutputFormat.tty

    @Option(
        name: [.long, .customLong("max-rows")], parsing: .unconditional,
        help: ArgumentHelp("Rows to show.", valueName: "n"))
    var rows = 40

    @Flag(name: .customLong("all-rows"), help: "Show all rows, however many they are.")
    var allRows = false

    @Flag(name: .customLong("no-trunc"), help: "Show cells and lines in full length.")
    var noTrunc = false

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Write the result into this folder, as an Arrow IPC stream: 'query.arrows'.", valueName: "dir"))
    var export: String?

    /// The longest statement that is read from a file, in bytes.
    private static let statementBytesMax = 1 << 20

    func validate() throws {
        try RunCommand.check(rows: rows)
        if (sql == nil) == (file == nil) {
            throw ValidationError("give one statement: as an argument, or with --file")
        }
    }

    func run() throws {
        var call = RunCall(project: project, engine: engineOptions, run: runOptions, output: output)
        call.query = try file.map(Self.statement) ?? sql
        call.exportFolder = export
        if output == .tty {
            call.rows =
                allRows || noTrunc || rows > Self.previewRowsMax
                ? .stream(allRows ? nil : rows, isWhole: noTrunc) : .preview(rows, isTail: false)
        }
        CommandRun.run(call)
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
