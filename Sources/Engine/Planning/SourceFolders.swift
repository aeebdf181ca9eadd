import Sandbox
import System

/// The folders of a plan's sources, and which of these its workers see: a scan its own, other models none.
///
/// A zygote shows all of them; each worker covers those that it may not see.
struct SourceFolders {
    /// The paths that a zygote has to show: the project's folder, and those that hold sources outside of it.
    let shown: [String]
    /// The identity of each of these at the moment, by device and inode; "-" for one that is not there.
    let places: [String]
    private var view = WorkerView()

    /// - Parameter staying: the paths that every worker must see, wherever sources lie: the system, the interpreter, the project.
    init(_ plan: Plan, staying: [String]) {
        let project = BytePath(plan.project.folder)
        let kept = Set(staying.map { BytePath($0) } + [project])
        let readable = plan.models.flatMap(\.readPaths).map { BytePath($0) }
        let outside = Set(readable.filter { $0 != project && !$0.isBelow(project) })
        shown = BytePath.outermost(outside.union([project])).map(\.text)
        places = shown.map { Files.place($0) ?? "-" }
        // A place in a covered folder needs no cover of its own, unless it lies in a path that stays visible there.
        for place in outside.sorted()
        where !place.isBelow(anyOf: outside) || place.folders.contains(where: { kept.contains($0) }) {
            // Where the system or the interpreter is, only the files themselves can go.
            if kept.contains(place) { cover(plan.sourceFiles(below: place), kept) } else { cover([place], kept) }
        }
        view.rebuilt += (plan.hidden?.rebuilt ?? []).map { folder in
            .init(folder: folder.folder, shown: folder.shown)
        }
        let inside = kept.filter { $0.isBelow(project) }
        cover((plan.hidden?.covered ?? []).map { BytePath($0) }, inside)
    }

    private mutating func cover(_ paths: [BytePath], _ kept: Set<BytePath>) {
        for path in paths {
            let below = kept.isEmpty ? [] : BytePath.outermost(kept.filter { $0.isBelow(path) })
            if below.isEmpty {
                view.covered.append(path.text)
            } else {
                view.rebuilt.append(.init(folder: path.text, shown: below.map(\.text)))
            }
        }
    }

    /// The most places of its own that a scan is shown one by one in a folder that is covered for it.
    private static let ownMax = 1024

    /// The view of a worker that reads these paths, a scan; without paths, a view of no source.
    func view(reading paths: [String]) -> WorkerView {
        guard !paths.isEmpty else { return view }
        let own = paths.map { BytePath($0) }.sorted()
        let all = Set(own)
        var result = WorkerView()
        for folder in view.rebuilt {
            let path = BytePath(folder.folder)
            guard !all.contains(path), !path.isBelow(anyOf: all) else { continue }
            let shown = Set(folder.shown.map { BytePath($0) })
            let more = Self.places(own, below: path).filter { !shown.contains($0) && !$0.isBelow(anyOf: shown) }
            guard more.count <= Self.ownMax else { continue }
            result.rebuilt.append(.init(folder: folder.folder, shown: folder.shown + more.map(\.text)))
        }
        var late: [WorkerView.Rebuilt] = []
        for text in view.covered {
            let path = BytePath(text)
            guard !all.contains(path), !path.isBelow(anyOf: all) else { continue }
            let inside = Self.places(own, below: path)
            guard inside.count <= Self.ownMax else { continue }
            if inside.isEmpty {
                result.covered.append(text)
            } else {
                late.append(.init(folder: text, shown: inside.map(\.text)))
            }
        }
        result.rebuilt += late
        return result
    }

    /// The paths among sorted ones that lie in a folder.
    private static func places(_ sorted: [BytePath], below folder: BytePath) -> [BytePath] {
        // With the slash: `data-2` sorts between `data` and what lies in it.
        let first = BytePath(folder.text + "/")
        var (low, high) = (0, sorted.count)
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < first { low = middle + 1 } else { high = middle }
        }
        return Array(sorted[low...].prefix { $0.isBelow(folder) })
    }
}

/// The part of its zygote's view that a worker sees; `docs/protocol.md` has its form.
struct WorkerView {
    /// A folder that is emptied, except for some of the paths in it.
    struct Rebuilt {
        var folder: String
        var shown: [String]
    }

    /// Folders that are emptied, each before those that lie in it.
    var rebuilt: [Rebuilt] = []
    /// Files and folders that can't be seen, none in another one.
    var covered: [String] = []

    /// The view in the form that a worker's zygote reads, with the paths that stay visible below /tmp.
    func json(tmp: [String]) -> JSONValue {
        func list(_ paths: [String]) -> JSONValue { .array(paths.map { .string($0) }) }
        return [
            "tmp": list(tmp), "covered": list(covered),
            "rebuilt": .array(rebuilt.map { ["folder": .string($0.folder), "shown": list($0.shown)] }),
        ]
    }
}

extension Plan {
    /// The files of its sources that lie in a folder, at any depth; sorted, each once.
    fileprivate func sourceFiles(below folder: BytePath) -> [BytePath] {
        let files = models.filter { $0.kind == "scan" }.flatMap { $0.task["files"]?.array ?? [] }
        return Set(files.compactMap(\.string).map { BytePath($0) }.filter { $0.isBelow(folder) }).sorted()
    }
}
