import ArgumentParser
import Engine

/// Where the final tables are written to, and how.
struct ExportOptions: ParsableArguments {
    /// A format of files for others to read.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case parquet, csv, json, feather, arrow
    }

    @Option(
        name: .customLong("export"),
        help: ArgumentHelp("Write the final tables into this folder, a file for each.", valueName: "dir"))
    var folder: String?

    @Option(
        name: .long,
        help: """
            The format of these files. parquet. csv: with a line of names. json: an object per line (.jsonl). feather: Arrow IPC files. \
            arrow: Arrow IPC streams (.arrows).
            """)
    var format = Format.parquet

    /// The folder, made where it is not there. Throws `EngineError.options` for one that can't be used.
    func checkedFolder() throws -> String? {
        try folder.map { try FolderOption(option: "--export", path: $0, madeWithMode: 0o755).checked() }
    }

    /// The format as the planner is told it; nil where nothing has to be planned.
    var plannedFormat: String? { folder == nil || format == .arrow ? nil : format.rawValue }
}
