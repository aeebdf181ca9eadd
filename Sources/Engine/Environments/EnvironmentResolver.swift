import Glibc
import System

/// Finds out which packages a request means, with their versions: from what was found before, which asks nobody, else by uv.
///
/// Answers the planner's questions about environments, and remembers what it answered: of a plan no other environment is taken.
final class EnvironmentResolver {
    /// The first byte of a question.
    static let question = UInt8(ascii: "E")
    /// How many resolutions are under way at once.
    private static let countMax = 4

    /// Why a request has no environment.
    private enum Problem: String {
        /// There is no such package, or no versions that go together.
        case unresolvable
        /// There is no such interpreter.
        case python
        /// Nothing is known of it here, and nobody can be asked.
        case offline
        /// It can't be made on this machine, whatever is asked for.
        case unavailable
    }

    private enum Answer {
        case recipe(EnvironmentRecipe)
        case problem(Problem, String)
    }

    private struct Work {
        let place: Int
        let request: EnvironmentRequest
        let interpreter: EnvironmentTools.Interpreter
        let process: ToolProcess
        let input: [String]
    }

    private let environment: [String: String]
    private let tools: EnvironmentTools
    private let defaultPython: String
    private let signals: SignalDescriptor?
    private let note: (String) -> Void
    private var interpreters: [String: Result<EnvironmentTools.Interpreter, EnvironmentTools.Failure>] = [:]
    /// The interpreters of the environments that were answered, by their ids.
    private(set) var pythons: [String: String] = [:]

    init(
        _ installation: Installation, _ environment: [String: String], signals: SignalDescriptor?,
        note: @escaping (String) -> Void
    ) {
        self.environment = environment
        tools = EnvironmentTools(installation, environment)
        defaultPython = installation.python
        self.signals = signals
        self.note = note
    }

    /// The answer to a question, as JSON: one for each request.
    ///
    /// - Throws: `EngineError.planner` for what is no question, `EngineError.interrupted` when a signal arrives first.
    func answer(_ question: [UInt8]) throws -> [UInt8] {
        guard let list = JSONValue(parsing: question)?.array else { throw EngineError.planner("it asked for no environment") }
        let requests = try list.map { value in
            guard let request = EnvironmentRequest(value) else {
                throw EngineError.planner("it asked for an environment in a form that is none")
            }
            return request
        }
        let answers: [Answer]
        do {
            let cache = try EnvironmentCache(environment: environment)
            answers = try resolve(requests, cache)
            for case .recipe(let recipe) in answers { pythons[recipe.id] = cache.python(recipe.id) }
            return JSONValue.array(answers.map { json($0, cache) }).utf8
        } catch EngineError.options(let text) {
            return JSONValue.array(requests.map { _ in json(.problem(.unavailable, text), nil) }).utf8
        }
    }

    private func json(_ answer: Answer, _ cache: EnvironmentCache?) -> JSONValue {
        switch answer {
        case .problem(let problem, let text): ["problem": .string(problem.rawValue), "text": .string(text)]
        case .recipe(let recipe):
            [
                "id": .string(recipe.id), "python": .string(cache?.python(recipe.id) ?? ""),
                "version": .string(recipe.pythonVersion),
                "packages": .array(recipe.packages.map { [.string($0.name), .string($0.version)] }),
            ]
        }
    }

    private func resolve(_ requests: [EnvironmentRequest], _ cache: EnvironmentCache) throws -> [Answer] {
        var answers = requests.map { cache.recipe(of: $0).map { Answer.recipe($0) } }
        var waiting = answers.indices.filter { answers[$0] == nil }[...]
        var works: [Work] = []
        while !waiting.isEmpty || !works.isEmpty {
            while works.count < Self.countMax, let place = waiting.popFirst() {
                switch try begin(requests[place], place, cache) {
                case .success(let work): works.append(work)
                case .failure(let failure): answers[place] = failure.answer
                }
            }
            guard !works.isEmpty else { continue }
            let raws = works.map(\.process.raw) + (signals.map { [$0.raw] } ?? [])
            let ready = try Poll.wait(raws.map { ($0, .read) })
            if try signals?.next() != nil { throw EngineError.interrupted }
            for (work, events) in zip(works, ready) where !events.isEmpty {
                answers[work.place] = try finish(work, cache)
            }
            works = works.filter { answers[$0.place] == nil }
        }
        return answers.map { $0! }
    }

    private struct NoAnswer: Error {
        let answer: Answer
    }

    /// Starts the resolution of a request.
    private func begin(_ request: EnvironmentRequest, _ place: Int, _ cache: EnvironmentCache) throws -> Result<Work, NoAnswer> {
        switch try interpreter(request.python, cache) {
        case .failure(let failure): return .failure(NoAnswer(answer: .problem(tools.uv == nil ? .unavailable : .python, failure.text)))
        case .success(let interpreter):
            note("resolving the packages of \(request.text)")
            // A list of its own, so that no text of a project's is an argument.
            let input = [request.requirements, request.constraints].map { _ in cache.newPath(request.key, "partial") }
            for (path, lines) in zip(input, [request.requirements, request.constraints]) {
                try Files.write(path, lines.map { $0 + "\n" }.joined())
            }
            let process = try tools.start(
                [
                    "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--generate-hashes", "--only-binary", ":all:",
                    "--python", interpreter.path, "--constraint", input[1], input[0],
                ], folder: cache.folder)
            return .success(Work(place: place, request: request, interpreter: interpreter, process: process, input: input))
        }
    }

    private func interpreter(
        _ version: String, _ cache: EnvironmentCache
    ) throws -> Result<EnvironmentTools.Interpreter, EnvironmentTools.Failure> {
        if let known = interpreters[version] { return known }
        let wanted = version.isEmpty ? Path.resolved(defaultPython) ?? defaultPython : version
        do {
            let found = try tools.interpreter(
                wanted, folder: cache.folder, unless: signals.map { [$0.raw] } ?? [], note: note)
            interpreters[version] = .success(found)
        } catch let failure as EnvironmentTools.Failure {
            interpreters[version] = .failure(failure)
        }
        return interpreters[version]!
    }

    private func finish(_ work: Work, _ cache: EnvironmentCache) throws -> Answer {
        let result = try work.process.finish()
        for path in work.input { try? Files.remove(path) }
        guard result.isSuccess else {
            let isOffline = ["network was disabled", "error sending request", "Failed to fetch", "dns error"]
                .contains { result.errors.contains($0) }
            return .problem(isOffline ? .offline : .unresolvable, Self.reason(result.errors))
        }
        let lock = Self.lock(String(decoding: result.output, as: UTF8.self), keeping: work.request.hashes)
        guard let lock, EnvironmentRecipe.packages(lock) != nil else {
            return .problem(.unresolvable, "uv gave a list of packages that has another form than expected")
        }
        let recipe = EnvironmentRecipe(python: work.interpreter.path, pythonVersion: work.interpreter.version, lock: lock)
        try cache.keep(recipe, for: work.request)
        return .recipe(recipe)
    }

    /// uv's own explanation, without the words around it.
    private static func reason(_ errors: String) -> String {
        let lines = errors.split(separator: "\n").map(String.init)
        let causes = lines.filter { !$0.hasPrefix("error: ") && !$0.hasPrefix("hint: ") && !$0.hasPrefix("warning: ") }
        let shown = causes.isEmpty ? lines : causes
        return shown.map { line in
            var line = line.trimmingPrefix { $0 == " " }
            for word in ["cause: ", "error: "] { line = line.trimmingPrefix(word) }
            return String(line)
        }.joined(separator: "\n")
    }

    /// A list of packages with those hashes alone that a project names, where it names some of a package; nil where a package has none of them.
    private static func lock(_ text: String, keeping hashes: [String: [String]]) -> String? {
        guard !hashes.isEmpty else { return text }
        var kept: [String] = []
        for entry in text.replacing(" \\\n    --hash=", with: " --hash=").split(separator: "\n") {
            let words = entry.split(separator: " ").map(String.init)
            let name = words[0].split(separator: "=").first.map(String.init) ?? ""
            guard let own = hashes[name] else {
                kept.append(words.joined(separator: " \\\n    "))
                continue
            }
            let left = words.dropFirst().filter { own.contains(String($0.dropFirst("--hash=".count))) }
            guard !left.isEmpty else { return nil }
            kept.append(([words[0]] + left).joined(separator: " \\\n    "))
        }
        return kept.map { $0 + "\n" }.joined()
    }
}
