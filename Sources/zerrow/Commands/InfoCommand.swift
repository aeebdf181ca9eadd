import ArgumentParser
import Engine
import Glibc
import System
import Terminal

/// `zerrow info`: versions, places, who serves.
struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info",
        abstract: "Show versions, the user, the engine that serves, and where things are kept.",
        discussion: "What this machine offers, and what to change, is shown by 'doctor'.")

    @Option(
        name: [.customShort("p"), .long, .customLong("project-dir")],
        help: ArgumentHelp("The project's folder.", valueName: "dir"))
    var project = "."

    @Option(name: [.customShort("O"), .long], help: "tty: for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        do {
            let environment = Environment.variables
            let info = try Info(environment, project: project)
            switch output {
            case .json: Output.result(JSONText.of(.object(info.members)))
            case .tty:
                let rows = info.rows.map { [$0.0, $0.1.withoutControls(keepingColours: false)] }
                Output.result(JobText.table(rows))
            }
        } catch {
            if output == .json { Output.result(JSONText.of(["error": .string("\(error)")])) }
            Output.error("\(error)")
            Output.leave(1)
        }
    }
}

/// `zerrow version`.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Show the version.")

    @Option(name: [.customShort("O"), .long], help: "tty: a line. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        Output.result(
            output == .json ? JSONText.of(["version": .string(Command.version)]) : "zerrow \(Command.version)")
    }
}

/// `zerrow config`: there is nothing to set, and it says what to do in its place.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Says where what Bauplan's 'config' sets is set here.",
        subcommands: [Set.self, Get.self])

    /// `zerrow config set`.
    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "set", abstract: "Says what to do in its place.")

        @Argument var key: String
        @Argument var value: String?

        func run() { ConfigCommand.refuse(key) }
    }

    /// `zerrow config get`.
    struct Get: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "get", abstract: "Says what to do in its place.")

        @Argument var key: String?
        @Flag(name: [.customShort("a"), .long], help: "All keys: there are none.")
        var all = false

        func run() { ConfigCommand.refuse(key) }
    }

    private static func refuse(_ key: String?) -> Never {
        let what =
            switch key {
            case "api_key": "there is no account here, so no 'api_key' is needed"
            case "active_branch": "there is one branch, 'main', so none can be made the active one"
            default: "there is no configuration file"
            }
        Output.error("\(what): options of the commands and variables ZERROW_… say everything (see 'info' and --help)")
        Output.leave(1)
    }
}
