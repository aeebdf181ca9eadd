import ArgumentParser
import Engine

/// `zerrow run-prepare`: runs a project's own commands for the engine; not for people.
struct RunPrepareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run-prepare", abstract: "Runs a command, and ends it when the engine ends.", shouldDisplay: false)

    @Argument var command: [String]

    func run() { PrepareCommand.serve(command) }
}
