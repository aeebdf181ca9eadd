import ArgumentParser
import Engine

/// The options of commands that look at a project's tables.
struct TableOptions: ParsableArguments {
    @Option(name: [.customShort("p"), .long], help: ArgumentHelp("The project's folder.", valueName: "dir"))
    var project = "."

    @Option(
        name: [.customShort("n"), .long],
        help: ArgumentHelp(
            "The namespace: of 'ls' the one whose tables are shown, else that of names without one.", valueName: "name"
        ))
    var namespace: String?

    @Option(
        name: .customLong("source"),
        help: ArgumentHelp("A source table in Parquet files, as name=path; repeat for more.", valueName: "name=path"))
    var sources: [String] = []

    @Flag(
        name: .customLong("no-sandbox"),
        help: "Read the project in an ordinary process, without namespaces. For machines that forbid them.")
    var noSandbox = false

    /// What the project is read for.
    var request: PlanRequest {
        var request = PlanRequest()
        request.namespace = namespace
        request.sources = sources
        return request
    }

    /// The tables, or one; ends the process where there are none to be had.
    func tables(name: String? = nil, isOfNamespace: Bool = false) -> TableListing {
        do {
            let environment = Environment.variables
            var listing = try Engine.tables(
                installation: try Installation.find(environment: environment), environment: environment,
                folder: project, request, name: name, isSandboxed: !noSandbox)
            if isOfNamespace, let namespace { listing.tables.removeAll { $0.namespace != namespace } }
            return listing
        } catch {
            Self.end(error)
        }
    }

    /// Says what is wrong, and ends the process.
    static func end(_ error: any Error) -> Never {
        for failure in CommandRun.failures(of: error) { Output.error(failure.text) }
        Output.leave(1)
    }
}

/// `zerrow table`: the tables that a project can read.
struct TableCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "table",
        abstract: "Show, or remove, the tables of the project's catalog.",
        discussion: """
            Tables that models publish (materialization_strategy) are Parquet files in the catalog's folder: .zerrow/warehouse in the \
            project's, or what 'catalog:' of the project file or the variable ZERROW_WAREHOUSE names. Sources of the project are listed too.

              zerrow table ls
              zerrow table get shop.sales -O json
              zerrow table rm shop.sales
            """,
        subcommands: [TableListCommand.self, TableGetCommand.self, TableRemoveCommand.self])
}

/// `zerrow table ls`.
struct TableListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ls", abstract: "List the tables.")

    @OptionGroup var options: TableOptions

    @Option(name: [.customShort("O"), .long], help: "tty: a list for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        let listing = options.tables(isOfNamespace: true)
        Output.result(output == .json ? listing.json : listing.list)
        Output.leave(0)
    }
}

/// `zerrow table get`.
struct TableGetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Show a table: its columns, rows, files and partitions.")

    @Argument(help: "The table's name, with its namespace or without.")
    var name: String

    @OptionGroup var options: TableOptions

    @Option(name: [.customShort("O"), .long], help: "tty: for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        let listing = options.tables(name: name)
        Output.result(output == .json ? listing.json : listing.tables.map(\.details).joined(separator: "\n"))
        Output.leave(0)
    }
}

/// `zerrow table rm`.
struct TableRemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rm", abstract: "Remove a table from the catalog.",
        discussion: "Runs that read it go on with its files; these are removed when nobody reads them any more.")

    @Argument(help: "The table's name, with its namespace or without.")
    var name: String

    @OptionGroup var options: TableOptions

    func run() {
        do {
            let environment = Environment.variables
            let table = try Engine.removeTable(
                installation: try Installation.find(environment: environment), environment: environment,
                folder: options.project, options.request, name: name, isSandboxed: !options.noSandbox)
            Output.result("removed \(table.fullName)")
            Output.leave(0)
        } catch {
            TableOptions.end(error)
        }
    }
}

/// `zerrow namespace`: the namespaces of a project's tables.
struct NamespaceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "namespace", abstract: "Show the namespaces of the project's tables.",
        subcommands: [NamespaceListCommand.self])
}

/// `zerrow namespace ls`.
struct NamespaceListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the namespaces that have tables.")

    @OptionGroup var options: TableOptions

    @Option(name: [.customShort("O"), .long], help: "tty: a list for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        let listing = options.tables(isOfNamespace: true)
        let names = listing.namespaces.map(\.name).joined(separator: "\n")
        Output.result(output == .json ? listing.namespacesJSON : names)
        Output.leave(0)
    }
}
