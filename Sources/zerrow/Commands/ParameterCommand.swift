import ArgumentParser
import Engine
import Glibc
import System
import Terminal

/// `zerrow parameter`: what a project can be told when it is run.
struct ParameterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "parameter",
        abstract: "Show and change a project's parameters.",
        discussion: """
            Parameters are declared in the project file, which 'set' and 'rm' change, and nothing else of it: comments, order and \
            quotes stay as they are. A run's values come from --param, a variable ZERROW_PARAM_name, zerrow_parameters.yml, or the \
            default, the first of these.

            A secret's value is never in the project file: 'set' writes it into zerrow_parameters.yml, which only its owner can read, and \
            has git ignore that file.

              zerrow parameter ls -p shop
              zerrow parameter set limit 100 --type int --description 'rows that are kept'
              zerrow parameter set api_key --type secret        asks for the value
              zerrow parameter rm limit
            """,
        subcommands: [List.self, Set.self, Remove.self])

    /// The project whose parameters they are.
    struct Place: ParsableArguments {
        @Option(
            name: [.customShort("p"), .long, .customLong("project-dir")],
            help: ArgumentHelp("The project's folder.", valueName: "dir"))
        var project = "."

        @Flag(
            name: .customLong("no-sandbox"),
            help: "Read the project in an ordinary process, without namespaces. For machines that forbid them.")
        var noSandbox = false

        @Option(name: [.customShort("O"), .long], help: "tty: for people. json: one JSON object on stdout.")
        var output = OutputFormat.tty

        /// The project's parameters.
        func tool() throws -> ParameterTool {
            let environment = Environment.variables
            return try ParameterTool(
                project, installation: try Installation.find(environment: environment), environment: environment,
                isSandboxed: !noSandbox)
        }

        /// Runs what a verb does; an error is printed, as JSON too where that is wanted, and ends the process.
        func perform(_ body: () throws -> Void) {
            do {
                try body()
            } catch {
                let failures = CommandRun.failures(of: error)
                if output == .json {
                    Output.result(JSONText.of(["error": .string(failures.map(\.text).joined(separator: "\n"))]))
                }
                for failure in failures { Output.error(failure.text) }
                Output.leave(1)
            }
        }
    }
}

extension ParameterCommand {
    /// `zerrow parameter ls`.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "ls", abstract: "List what a project declares, with the value that a run would take.")

        @OptionGroup var place: Place

        func run() {
            place.perform {
                let parameters = try place.tool().list()
                switch place.output {
                case .json: Output.result(JSONText.of(["parameters": .array(parameters.map(\.json))]))
                case .tty:
                    let rows = parameters.map { each in
                        [
                            each.name, each.type, each.shownValue, each.source ?? "-", each.required ? "yes" : "no",
                            each.description ?? "",
                        ].map { $0.replacing("\n", with: " ").withoutControls(keepingColours: false) }
                    }
                    let head = ["name", "type", "value", "from", "required", "description"]
                    Output.result(JobText.table([head] + rows))
                }
                for each in parameters {
                    if let problem = each.problem { Output.note("warning: \(each.file):\(each.line): \(problem)") }
                }
            }
        }
    }

    /// `zerrow parameter set`.
    struct Set: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "set",
            abstract: "Declare a parameter, or change what is declared of it.",
            discussion: """
                The value becomes its default. The value of a secret that is not given is read from the terminal without being shown, else \
                from standard input: on a command line others can see it.
                """)

        @Argument(help: ArgumentHelp("The parameter.", valueName: "name"))
        var name: String

        @Argument(help: ArgumentHelp("Its default, or a secret's value.", valueName: "value"))
        var value: String?

        @Option(
            help: ArgumentHelp(
                "int, float, bool, str or secret; as it is declared, else as the value looks.", valueName: "type"))
        var type: Kind?

        @Option(help: ArgumentHelp("A sentence that says what it is.", valueName: "text"))
        var description: String?

        @Flag(name: .customLong("required"), help: "A run has to be given it, if it has no default.")
        var isRequired = false

        @Flag(name: .customLong("optional"), help: "A run need not be given it.")
        var isOptional = false

        @Flag(name: .shortAndLong, help: "Change it also where its type becomes another one.")
        var force = false

        @OptionGroup var place: Place

        /// The types that can be declared.
        enum Kind: String, ExpressibleByArgument, CaseIterable {
            case int, float, bool, str, secret
        }

        func validate() throws {
            if isRequired, isOptional { throw ValidationError("give one of --required and --optional") }
        }

        func run() {
            place.perform {
                let tool = try place.tool()
                var change = ParameterTool.Change()
                change.type = type?.rawValue
                change.value = value
                change.description = description
                change.isRequired = isRequired ? true : isOptional ? false : nil
                change.isForced = force
                if value == nil, try type == .secret || type == nil && tool.isSecret(name) {
                    change.value = try SecretInput.read(name)
                }
                let done = try tool.set(name, change)
                switch place.output {
                case .json:
                    Output.result(
                        JSONText.of([
                            "name": .string(name), "type": done.type.map { .string($0) } ?? .null,
                            "files": .array(done.files.map { .string($0) }),
                        ]))
                case .tty: Output.note("\(name): \(done.type ?? "") in \(done.files.joined(separator: ", "))")
                }
            }
        }
    }

    /// `zerrow parameter rm`.
    struct Remove: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rm",
            abstract: "Remove a parameter from the project file, and its value from zerrow_parameters.yml.")

        @Argument(help: ArgumentHelp("The parameter.", valueName: "name"))
        var name: String

        @Flag(name: .shortAndLong, help: "Ask nothing, and say nothing where there is no such parameter.")
        var force = false

        @OptionGroup var place: Place

        func run() {
            place.perform {
                if !force, isatty(0) == 1, isatty(2) == 1 {
                    Output.write("remove the parameter \(name)? [y/N] ", to: 2)
                    guard let answer = readLine(), ["y", "yes"].contains(answer.lowercased()) else {
                        throw EngineError.options("nothing was removed")
                    }
                }
                let done = try place.tool().remove(name, isForced: force)
                switch place.output {
                case .json:
                    Output.result(
                        JSONText.of(["name": .string(name), "files": .array(done.files.map { .string($0) })]))
                case .tty:
                    if !done.files.isEmpty {
                        Output.note("\(name): removed from \(done.files.joined(separator: ", "))")
                    }
                }
            }
        }
    }
}

extension ParameterTool.Parameter {
    /// As JSON.
    fileprivate var json: JSONValue {
        [
            "name": .string(name), "type": .string(type), "default": self.default ?? .null, "value": value ?? .null,
            "source": source.map { .string($0) } ?? .null, "required": .bool(required),
            "description": description.map { .string($0) } ?? .null, "file": .string(file),
            "line": .integer(Int64(line)),
        ]
    }

    /// The value for people: of a secret only whether there is one.
    fileprivate var shownValue: String {
        if ["secret", "vault"].contains(type) { return source == nil ? "-" : "***" }
        guard let value else { return "-" }
        return value.string ?? JSONText.of(value)
    }
}

/// A secret that is typed, or comes through standard input.
enum SecretInput {
    private static let bytesMax = 1 << 20

    /// Reads it: a line that the terminal does not show, else all of standard input without the end of its last line.
    static func read(_ name: String) throws -> String {
        guard isatty(0) == 1 else {
            let bytes = try Files.readStandardInput(bytesMax: bytesMax)
            guard var text = String(validating: bytes, as: UTF8.self) else {
                throw EngineError.options("the value on standard input is not in UTF-8")
            }
            if text.hasSuffix("\r\n") || text.hasSuffix("\n") { text.removeLast() }
            return try checked(text)
        }
        var before = termios()
        guard tcgetattr(0, &before) == 0 else { throw EngineError.options("the terminal can't be asked") }
        var silent = before
        silent.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(0, TCSAFLUSH, &silent)
        // A terminal that Ctrl-C leaves without echo is of no use to its user.
        RestoredTerminal.keep(before)
        defer {
            tcsetattr(0, TCSAFLUSH, &before)
            RestoredTerminal.forget()
            Output.write("\n", to: 2)
        }
        Output.write("value of \(name): ", to: 2)
        return try checked(readLine() ?? "")
    }

    private static func checked(_ text: String) throws -> String {
        if text.isEmpty { throw EngineError.options("there is no value: give one, or type one") }
        return text
    }
}

/// The settings that a terminal gets back when a signal ends the process.
private enum RestoredTerminal {
    nonisolated(unsafe) private static var settings = termios()

    static func keep(_ before: termios) {
        settings = before
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            signal(number) { number in
                // Both calls may be made in a handler (signal-safety(7)).
                tcsetattr(0, TCSANOW, &RestoredTerminal.settings)
                Glibc.signal(number, SIG_DFL)
                raise(number)
            }
        }
    }

    static func forget() {
        for number in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] { signal(number, SIG_DFL) }
    }
}
