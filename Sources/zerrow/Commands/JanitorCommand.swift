import ArgumentParser
import Sandbox

/// `zerrow janitor`: started by an engine, not by people.
struct JanitorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "janitor", abstract: "Removes what a killed engine left.", shouldDisplay: false)

    @Argument var version: String
    @Argument var folders: [String] = []

    func run() {
        Janitor.serve(version: version == "v2" ? .v2 : .v1, folders: folders)
    }
}
