import Engine
import System

/// The files that a project's runs depend on, as they are at some moment.
struct WatchedFiles: Equatable {
    /// So many entries of a project's folder are looked at; of a larger one only what is nearest to its top.
    private static let entriesMax = 50_000
    private static let leftOut: Set = ["__pycache__", "node_modules"]

    /// The identity of each file, by its path.
    private(set) var identities: [String: String] = [:]

    /// - Parameters:
    ///   - folder: the project's.
    ///   - sources: files of its sources, wherever they are.
    ///   - written: folders that the runs write to.
    init(in folder: String, sources: [String], notBelow written: Set<String>) {
        var pending = [folder]
        var next = 0
        while next < pending.count, identities.count < Self.entriesMax {
            let place = pending[next]
            next += 1
            for name in (try? Files.list(place)) ?? [] where !name.hasPrefix(".") && !Self.leftOut.contains(name) {
                let path = place + "/" + name
                if Files.isFolder(path) {
                    // A link may lead back.
                    if Files.linkTarget(path) == nil, !written.contains(path) { pending.append(path) }
                } else {
                    note(path)
                }
            }
        }
        for source in sources { note(source) }
    }

    private mutating func note(_ path: String) { identities[path] = (try? Files.identity(path)) ?? "gone" }

    /// The paths that differ, sorted.
    func changes(since other: WatchedFiles) -> [String] {
        Set(identities.keys).union(other.identities.keys).filter { identities[$0] != other.identities[$0] }.sorted()
    }
}

extension Plan {
    /// The files of its sources.
    var sourceFiles: [String] { models.flatMap { Self.files(in: $0.task) } }

    private static func files(in task: JSONValue) -> [String] {
        let own = (task["files"]?.array ?? []).compactMap(\.string)
        let streamed = (task["arguments"]?.array ?? []).compactMap { $0["source"] }.flatMap { files(in: $0) }
        return (own + streamed).filter { $0.hasPrefix("/") }
    }
}
