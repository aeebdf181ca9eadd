import ArgumentParser
import System

/// The command line: parse, call the engine, print.
@main
struct Command: ParsableCommand {
    /// The version of zerrow.
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: CalledName.own,
        abstract: "Runs pipelines of isolated Python and SQL models over Arrow tables, without copying column data.",
        discussion: """
            A project is a folder with a zerrow_project.yml, Python files whose functions are marked @zerrow.model, and SQL \
            files. Each model runs in a sandboxed process of its own; tables pass between them in shared memory.

            Try it:
              zerrow run -p examples/tpch        run a pipeline and show its result
              zerrow plan -p examples/tpch       show the DAG, run nothing
              zerrow job ls                      what was run, and how it went
              zerrow doctor                      what this machine offers, and what to change

            'bauplan' is another name of the command, for scripts that were written for Bauplan: what of its options says nothing here is \
            noted and ignored (-P, --client-timeout, -v, -a).

            Exit code 0: success. 1: the run failed, or standard output did not take its result. 2: wrong usage.
            """,
        version: Self.version,
        subcommands: [
            InitCommand.self, RunCommand.self, QueryCommand.self, PlanCommand.self, JobCommand.self,
            TableCommand.self, NamespaceCommand.self, ParameterCommand.self, ServeCommand.self, InfoCommand.self,
            VersionCommand.self, ConfigCommand.self, DoctorCommand.self, EnvCommand.self, BenchCommand.self,
            JanitorCommand.self, RunPrepareCommand.self,
        ])

    /// Parses and runs. Wrong usage is exit code 2, as DESIGN's command line has it; the library's own is 64.
    static func main() {
        TrapReport.begin()
        ParentLife.follow()
        Output.openMissingStreams()
        Output.takeWriteSignals()
        do {
            let arguments = try CommandLineArguments(Array(CommandLine.arguments.dropFirst()))
            try CommandSuggestion.check(arguments.words, of: Self.self)
            var command = try parseAsRoot(arguments.words)
            for note in arguments.notes { Output.note(note) }
            try command.run()
            Output.leave(0)
        } catch {
            let code = exitCode(for: error)
            if code.isSuccess {
                // Help, the version and the like.
                Output.result(fullMessage(for: error))
                Output.leave(0)
            }
            guard code == .validationFailure else { exit(withError: error) }
            Output.usageError(fullMessage(for: error))
            Output.leave(2)
        }
    }
}

/// The name that the command was called by.
enum CalledName {
    /// `bauplan` where that is how it was called.
    static let own: String = {
        let name = CommandLine.arguments.first?.split(separator: "/").last
        return name == "bauplan" ? "bauplan" : "zerrow"
    }()
}
