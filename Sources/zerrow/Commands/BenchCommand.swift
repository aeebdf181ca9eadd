import ArgumentParser
import Engine
import Glibc
import System

/// `zerrow bench`: the benchmarks, each against what one would use otherwise, side by side in one run.
struct BenchCommand: ParsableCommand {
    /// Each is a script in bench/.
    private static let names = ["handoff", "models", "sql", "scan", "start", "pipeline", "paper"]
    private static let list = names.dropLast().joined(separator: ", ") + " or " + names.last!

    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure zerrow against its alternatives, side by side.",
        discussion: """
            handoff   publish, open and read a table of 64 MiB, 1 GiB and 4 GiB: zerrow, an Arrow IPC file in /dev/shm (mapped and read), \
            Ray's warm object store
            models    models that do next to nothing, in chains of 1 KB and of 100 MB: zerrow, one process, multiprocessing, Ray, Dagster
            sql       the 22 queries of TPC-H as isolated SQL models, and by DuckDB and DataFusion in one process on the files
            scan      a Parquet file whole, a hundredth of its rows, one column, its count: zerrow, pyarrow, DuckDB, DataFusion
            start     a run of one model, cold, served and served from the cache, and as a script in Python
            pipeline  examples/tpch in sandboxed processes, in one process that passes pointers, and through Arrow IPC files
            paper     the evaluation of the Zerrow paper, rebuilt as ratios, with a report and plots; some experiments take root

            Medians of interleaved rounds. Arguments after the name go to the benchmark; `zerrow bench handoff --help` lists them. How the figures \
            are made: bench/README.md.

              zerrow bench handoff --output json
              zerrow bench handoff --sizes 64 --rounds 3
              zerrow bench pipeline
              zerrow bench paper --report report
              zerrow bench paper --scale quick --only 1,4
            """)

    @Argument(help: ArgumentHelp("\(list).", valueName: "name"))
    var name: String

    @Argument(parsing: .captureForPassthrough, help: ArgumentHelp("Options of the benchmark.", valueName: "options"))
    var options: [String] = []

    func validate() throws {
        guard Self.names.contains(name) else {
            throw ValidationError("there is no benchmark '\(name)': \(Self.list)")
        }
    }

    func run() throws {
        let variables = Environment.variables
        do {
            let installation = try Installation.find(environment: variables)
            let program = installation.home + "/bench/\(name).py"
            guard Files.exists(program) else {
                throw EngineError.installation(
                    "the benchmarks are in the repository, and not in a package that pip installs: run them there")
            }
            var environment = variables
            environment["PYTHONPATH"] = installation.pythonFolder
            environment["ZERROW_HOME"] = installation.home
            let child = try ChildProcess(
                [installation.python, program] + options, environment: environment,
                folder: ".", output: .descriptor(1), errors: .descriptor(2))
            switch try child.wait() {
            case .exited(let code): Output.leave(code)
            // Its reader went away, and so would we have ended.
            case .signalled(SIGPIPE): Output.endByPipeSignal()
            case .signalled: Output.leave(1)
            }
        } catch {
            Output.error("\(error)")
            Output.leave(1)
        }
    }
}
