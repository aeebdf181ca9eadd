import ArgumentParser
import Engine
import System

/// `zerrow init`: a small project that runs, to be made one's own.
struct InitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Write a small project that runs.",
        discussion: """
            Writes a project file, a Python model, a SQL model and a script that makes some data into a folder, which is made if it is not \
            there. In a folder with Parquet, CSV, JSON lines, Arrow or ORC files it writes a project file that names these as sources, and a \
            query to begin with. Files that are there already are never changed: then nothing is written.

              zerrow init shop
              zerrow run -p shop
            """)

    @Argument(help: ArgumentHelp("The project's folder.", valueName: "dir"))
    var folder = "."

    func run() throws {
        do {
            let found = FoundSources(in: folder)
            if !found.sources.isEmpty {
                let starter = Starter(for: found, in: folder)
                try starter.write(to: folder)
                for name in starter.names { Output.result(folder + "/" + name) }
                let names = found.sources.map(\.name).joined(separator: ", ")
                return Output.note("sources: \(names)\nrun it: zerrow run" + (folder == "." ? "" : " -p " + folder))
            }
            let template = try Installation.find(environment: Environment.variables).pythonFolder + "/zerrow/starter"
            let starter = try Starter(template)
            try starter.write(to: folder)
            for name in starter.names { Output.result(folder + "/" + name) }
            Output.note("run it: zerrow run" + (folder == "." ? "" : " -p " + folder))
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }
}
