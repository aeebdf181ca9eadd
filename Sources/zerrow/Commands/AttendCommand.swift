import ArgumentParser
import Engine

/// `zerrow attend`: what the engine starts a project's own commands with; not for people.
struct AttendCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attend", abstract: "Runs a command, and ends it when the engine ends.", shouldDisplay: false)

    @Argument var command: [String]

    func run() { Attendant.serve(command) }
}
