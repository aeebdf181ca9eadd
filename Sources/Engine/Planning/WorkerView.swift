import System

/// What workers of one run see of the file system, beside the system and the environment: the project's folder, without what in it
/// is not for models. Sources are nobody's to see; scans get their files as descriptors.
struct WorkerView: Sendable {
    /// A folder that is emptied but for some of what lies in it.
    struct Rebuilt: Sendable {
        var folder: String
        var shown: [String]
    }

    /// Which folder the project's is, "-" for one that is not there.
    let place: String
    /// Folders that are shown through a file system of the worker's own.
    private(set) var overlaid: [String] = []
    /// Folders that are emptied, each before those that lie in it.
    private(set) var rebuilt: [Rebuilt] = []
    /// Files and folders that can't be seen, none in another one.
    private(set) var covered: [String] = []

    /// - Parameters:
    ///   - staying: what every worker must see, wherever it lies: the system, the interpreter.
    ///   - written: folders that the engine writes to, beside those that the planner knows.
    ///   - mountPoints: where something is mounted on this machine.
    init(_ plan: Plan, staying: [String], written: [String] = [], mountPoints: [String] = []) {
        let project = BytePath(plan.project.folder)
        place = Files.place(project.text) ?? "-"
        let kept = Set(staying.map { BytePath($0) })
        // An overlay would show the empty folders beneath what is mounted in the project.
        if !mountPoints.contains(where: { BytePath($0).isBelow(project) }) { overlaid = [project.text] }
        rebuilt = (plan.hidden?.rebuilt ?? []).map { Rebuilt(folder: $0.folder, shown: $0.shown) }
        let own = written.map { BytePath($0) }.filter { $0.isBelow(project) }
        let covers = Set((plan.hidden?.covered ?? []).map { BytePath($0) } + own)
        cover(BytePath.outermost(covers), kept.filter { $0.isBelow(project) })
        // A source that lies among the system's files, or the interpreter's, would be shown with these.
        cover(plan.sourceFiles.filter { !$0.isBelow(project) && $0.isBelow(anyOf: kept) }, [])
    }

    private mutating func cover(_ paths: [BytePath], _ kept: Set<BytePath>) {
        for path in paths where !kept.contains(path) {
            let below = kept.isEmpty ? [] : BytePath.outermost(kept.filter { $0.isBelow(path) })
            if below.isEmpty {
                covered.append(path.text)
            } else {
                rebuilt.append(.init(folder: path.text, shown: below.map(\.text)))
            }
        }
    }

    /// As a worker's zygote reads it, with what stays visible below /tmp; `docs/protocol.md` has its form.
    func json(tmp: [String]) -> JSONValue {
        func list(_ paths: [String]) -> JSONValue { .array(paths.map { .string($0) }) }
        return [
            "tmp": list(tmp), "overlaid": list(overlaid), "covered": list(covered),
            "rebuilt": .array(rebuilt.map { ["folder": .string($0.folder), "shown": list($0.shown)] }),
        ]
    }
}

extension Plan {
    /// The files of its sources, sorted, each once.
    fileprivate var sourceFiles: [BytePath] {
        let files = models.flatMap(\.sources).flatMap { $0["files"]?.array ?? [] }
        return Set(files.compactMap(\.string).map { BytePath($0) }).sorted()
    }
}
