import Store
import Synchronization
import System

/// The final tables of one run that are on their way to files: written as standard Arrow IPC streams, with the metadata as it is, then the
/// segments' bytes; or written by a worker, and to be named.
///
/// Owns the works; whoever begins one holds its table until it is told of the end. Used on the engine's thread.
final class TableExports {
    private let store: SegmentStore
    private let background: BackgroundWork
    private let run: Int
    /// By model.
    private var works: [Int: Work] = [:]

    private enum Work {
        case table(ExportWork)
        case file(NamingWork)
    }

    /// - Parameter run: its number; of each run only so many files are written at once.
    init(_ store: SegmentStore, _ background: BackgroundWork, run: Int) {
        self.store = store
        self.background = background
        self.run = run
    }

    var isEmpty: Bool { works.isEmpty }

    /// Begins to write a model's table to a file.
    ///
    /// - Parameter then: called from the loop when the table is no longer needed, with the outcome; nil where `abandon` has given the file
    ///   up before.
    func begin(_ table: TableID, of model: Int, to path: String, then: @escaping (ExportWork.Outcome?) -> Void) {
        let work = store.beginExport(table, to: path)
        works[model] = .table(work)
        background.begin(.export, of: run) {
            work.write()
        } then: { [store] outcome in
            store.finishExport(work)
            then(self.works.removeValue(forKey: model) == nil ? nil : outcome)
        }
    }

    /// Begins to give a file its name, in place of what has it.
    ///
    /// - Parameter then: as above.
    func begin(_ file: PendingFile, of model: Int, to path: String, then: @escaping (ExportWork.Outcome?) -> Void) {
        let work = NamingWork(file, path)
        works[model] = .file(work)
        background.begin(.export, of: run) {
            work.run()
        } then: { outcome in
            then(self.works.removeValue(forKey: model) == nil ? nil : outcome)
        }
    }

    /// Stops all of them; each is over as soon as its disk lets it.
    func stop() {
        for work in works.values {
            switch work {
            case .table(let work): work.stop()
            case .file(let work): work.stop()
            }
        }
    }

    /// Waits for none of them any more.
    ///
    /// - Returns: the models whose files are given up.
    func abandon() -> [Int] {
        defer { works = [:] }
        return works.keys.sorted()
    }
}

/// A file that a worker has written, on its way to its name. On a thread that may wait.
private final class NamingWork: Sendable {
    private let file: PendingFile
    private let path: String
    private let isStopped = Atomic<Bool>(false)

    init(_ file: PendingFile, _ path: String) {
        self.file = file
        self.path = path
    }

    func stop() { isStopped.store(true, ordering: .relaxed) }

    func run() -> ExportWork.Outcome {
        if isStopped.load(ordering: .relaxed) { return .stopped }
        do {
            try file.file.descriptor.finishWrites()
            try file.replace(as: String(path.split(separator: "/").last ?? ""))
            return .written
        } catch {
            return .failed("\(error)")
        }
    }
}
