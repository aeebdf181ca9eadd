import ArgumentParser
import Engine
import Glibc
import System
import Terminal

/// `zerrow job`: what was run, and how it went.
struct JobCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "job",
        abstract: "Show and stop jobs: each 'run' and each 'query' is one.",
        discussion: """
            Each run and each query is remembered, with what its models printed (\(JobRecorder.printedBytesMax >> 20) MiB of each), also those \
            that an engine serves and those that go on in the background. The newest 200 of the last 30 days are kept. Values of secrets are \
            not among what is kept.

            They lie in $XDG_STATE_HOME/zerrow/jobs, else ~/.local/state/zerrow/jobs; ZERROW_JOBS names another folder, or none if it is empty.
            An id may be abbreviated, as long as it means one job.

              zerrow job ls --status fail
              zerrow job logs 3f9a
              zerrow job stop 3f9a
            """,
        subcommands: [List.self, Get.self, Logs.self, Stop.self])

    /// The folder of jobs.
    ///
    /// - Parameter isNeeded: whether it is an error that there is none yet.
    fileprivate static func folder() throws -> JobFolder? {
        guard let path = JobFolder.path(Environment.variables) else {
            throw EngineError.options(
                "no folder for jobs is known: name one with ZERROW_JOBS (it is empty, or there is no HOME)")
        }
        return Files.exists(path) ? try JobFolder(path, makes: false) : nil
    }

    /// The job that an id means, in its folder.
    fileprivate static func find(_ id: String) throws -> (job: Job, folder: JobFolder) {
        guard let folder = try folder() else { throw EngineError.options("there is no job '\(id)': none was ever run") }
        return (try folder.job(startingWith: id), folder)
    }

    /// Runs what a verb does; an error is printed, as JSON too where that is wanted, and ends the process.
    fileprivate static func perform(_ output: OutputFormat, _ body: () throws -> Void) {
        do {
            try body()
        } catch {
            if output == .json { Output.result(JSONText.of(["error": .string("\(error)")])) }
            Output.error("\(error)")
            Output.leave(1)
        }
    }
}

extension JobCommand {
    /// `zerrow job ls`.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(commandName: "ls", abstract: "List jobs, the newest first.")

        @Option(
            parsing: .singleValue,
            help: ArgumentHelp(
                "Only jobs of this status: not-started, running, complete, fail or abort; repeat for more.",
                valueName: "status"))
        var status: [Job.Status] = []

        @Option(parsing: .singleValue, help: ArgumentHelp("Only jobs of this kind: run or query.", valueName: "kind"))
        var kind: [Job.Kind] = []

        @Option(help: ArgumentHelp("Only jobs of this user; all of these are of yours.", valueName: "name"))
        var user: String?

        @Flag(name: .customLong("all-users"), help: "Says nothing: each user has jobs of their own.")
        var allUsers = false

        @Option(
            name: [.customShort("l"), .long, .customLong("max-count")], parsing: .unconditional,
            help: ArgumentHelp("How many at most.", valueName: "n"))
        var limit = 20

        @Option(name: [.customShort("O"), .long], help: "tty: a table for people. json: one JSON object on stdout.")
        var output = OutputFormat.tty

        func validate() throws {
            if limit < 1 { throw ValidationError("--limit must be 1 or more") }
        }

        func run() {
            JobCommand.perform(output) {
                let jobs = try JobCommand.folder()?.jobs() ?? []
                let wanted = jobs.filter { job in
                    (status.isEmpty || status.contains(job.status)) && (kind.isEmpty || kind.contains(job.kind))
                        && (user == nil || user == job.user)
                }.prefix(limit)
                switch output {
                case .json: Output.result(JSONText.of(["jobs": .array(wanted.map(\.summary))]))
                case .tty: Output.result(Self.table(Array(wanted)))
                }
            }
        }

        private static func table(_ jobs: [Job]) -> String {
            let now = WallClock.nanoseconds()
            let rows = jobs.map { job in
                [
                    job.id, job.kind.rawValue, job.status.rawValue, job.project.withoutControls(keepingColours: false),
                    LocalTime.text(job.startedAt),
                    Quantity.time(.nanoseconds(max(0, (job.endedAt ?? now) - job.startedAt))),
                ]
            }
            return JobText.table([["id", "kind", "status", "project", "started", "took"]] + rows)
        }
    }

    /// `zerrow job get`.
    struct Get: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "get", abstract: "Show one job: its options, its models, how it ended.")

        @Argument(help: ArgumentHelp("The job's id, or its beginning.", valueName: "id"))
        var id: String

        @Option(name: [.customShort("O"), .long], help: "tty: for people. json: one JSON object on stdout.")
        var output = OutputFormat.tty

        func run() {
            JobCommand.perform(output) {
                let job = try JobCommand.find(id).job
                switch output {
                case .json: Output.result(JSONText.of(job.details))
                case .tty: Output.result(JobText.details(of: job).linesWithoutControls(keepingColours: false))
                }
            }
        }
    }

    /// `zerrow job logs`.
    struct Logs: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "logs",
            abstract: "Show what the models of a job printed.",
            discussion:
                "It goes to stdout, a line with its model before it. Of a job that runs it is what was printed until now."
        )

        @Argument(help: ArgumentHelp("The job's id, or its beginning.", valueName: "id"))
        var id: String

        @Flag(help: "Show what zerrow said instead.")
        var system = false

        @Flag(help: "Show both.")
        var all = false

        @Option(name: [.customShort("O"), .long], help: "tty: for people. json: one JSON object on stdout.")
        var output = OutputFormat.tty

        func validate() throws {
            if system, all { throw ValidationError("give one of --system and --all") }
        }

        func run() {
            JobCommand.perform(output) {
                let (job, folder) = try JobCommand.find(id)
                let lines = try folder.lines(of: job.id).filter { all || ($0.stream == .system) == system }
                switch output {
                case .json: Output.result(JSONText.of(["logs": .array(lines.map(\.json))]))
                case .tty:
                    let style = Style(for: 1)
                    for line in lines {
                        let text = line.text.linesWithoutControls(keepingColours: style.isColoured)
                        let head = line.model.map { $0.withoutControls(keepingColours: false) + " \(style.bar) " } ?? ""
                        Output.result(style.paint(head, .quiet) + text)
                    }
                }
            }
        }
    }

    /// `zerrow job stop`.
    struct Stop: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "stop",
            abstract: "End a running job, as Ctrl-C does.",
            discussion:
                "Waits until it is over, wherever it runs: in a terminal, in the background, or in the engine that serves."
        )

        @Argument(help: ArgumentHelp("The job's id, or its beginning.", valueName: "id"))
        var id: String

        @Option(name: [.customShort("O"), .long], help: "tty: for people. json: one JSON object on stdout.")
        var output = OutputFormat.tty

        func run() {
            JobCommand.perform(output) {
                let (job, folder) = try JobCommand.find(id)
                if job.status.isFinal {
                    throw EngineError.options("job \(job.id) is over already: \(job.status.rawValue)")
                }
                let ended = try folder.stop(job)
                switch output {
                case .json: Output.result(JSONText.of(ended.summary))
                case .tty: Output.result("\(ended.id) \(ended.status.rawValue)")
                }
            }
        }
    }
}

extension Job.Status: ExpressibleByArgument {}
extension Job.Kind: ExpressibleByArgument {}
