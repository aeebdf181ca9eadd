import ArgumentParser
import Engine
import Glibc
import Terminal

/// `zerrow env`: the environments that models ask for.
struct EnvCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "env",
        abstract: "Show or remove the environments of models.",
        discussion: """
            Each Python and set of packages that a model asks for is one folder, shared by all projects. It is made when a run first needs it, \
            below ~/.cache/zerrow/environments, or in the folder that ZERROW_ENVIRONMENTS names. One that nobody has used for 30 days is removed when \
            another one is made.

              zerrow env ls
              zerrow env prune --unused-for 7
            """,
        subcommands: [EnvListCommand.self, EnvPruneCommand.self])
}

/// `zerrow env ls`: what is there.
struct EnvListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls", abstract: "List the environments, those used last first.",
        discussion:
            "'own' is the room that an environment would free; what is shared are files that uv's cache, or another environment, has too."
    )

    @Option(name: [.customShort("O"), .long], help: "tty: a table for people. json: one JSON object on stdout.")
    var output = OutputFormat.tty

    func run() {
        EnvCommand.do {
            let entries = try EnvironmentCache(environment: Environment.variables).list()
            switch output {
            case .json: Output.result(EnvironmentEntry.json(entries))
            case .tty: Output.result(entries.isEmpty ? "no environments" : EnvironmentEntry.text(entries))
            }
        }
    }
}

/// `zerrow env prune`: removes what is not needed.
struct EnvPruneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove environments that nobody uses.",
        discussion: "One that a run uses is never removed. What is removed is made again when a model asks for it.")

    @Option(
        name: .customLong("unused-for"), parsing: .unconditional,
        help: ArgumentHelp("Remove those that were not used for so many days.", valueName: "days"))
    var days = 30.0

    @Flag(
        name: .long,
        help: "Remove all that no run uses now, and forget which versions were chosen where several would do.")
    var all = false

    func validate() throws {
        guard days >= 0, days <= 36500 else {
            throw ValidationError("--unused-for must be a number of days, 0 or more")
        }
    }

    func run() {
        EnvCommand.do {
            let cache = try EnvironmentCache(environment: Environment.variables)
            let result = try cache.prune(unusedForSeconds: all ? 0 : Int(days * 86400))
            for id in result.used { Output.note("\(id) is used by a run") }
            for id in result.removed { Output.result(id) }
            Output.note("\(result.removed.count) removed")
        }
    }
}

extension EnvCommand {
    /// Does something, or ends the process with what is wrong.
    fileprivate static func `do`(_ body: () throws -> Void) {
        do {
            try body()
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }
}

extension EnvironmentEntry {
    fileprivate static func text(_ entries: [EnvironmentEntry]) -> String {
        let now = Int(time(nil))
        let rows = entries.map { entry in
            [
                String(entry.id.prefix(12)), entry.version ?? "?", Quantity.bytes(entry.usage.ownBytes),
                Quantity.bytes(entry.usage.sharedBytes), entry.isUsed ? "now" : age(now - entry.usedAt),
                entry.packages.map { "\($0.name) \($0.version)" }.joined(separator: ", "),
            ]
        }
        let header = ["id", "python", "own", "shared", "used", "packages"]
        let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
        return ([header] + rows).map { row in
            let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return cells.joined(separator: "  ").fitted(Output.columns(1), mark: "…")
        }.joined(separator: "\n")
    }

    private static func age(_ seconds: Int) -> String {
        switch seconds {
        case ..<3600: "\(max(0, seconds) / 60) min ago"
        case ..<86400: "\(seconds / 3600) h ago"
        default: "\(seconds / 86400) days ago"
        }
    }
}
