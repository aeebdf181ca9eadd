import Store
import System

/// The final tables of one run that are being written to files: as standard Arrow IPC streams, with the metadata as it is, then the
/// segments' bytes.
///
/// Owns the works; whoever begins one holds its table until it is told of the end. Used on the engine's thread.
final class TableExports {
    private let store: SegmentStore
    private let background: BackgroundWork
    private let run: Int
    /// By model.
    private var works: [Int: ExportWork] = [:]

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
        works[model] = work
        background.begin(.export, of: run) {
            work.write()
        } then: { [store] outcome in
            store.finishExport(work)
            then(self.works.removeValue(forKey: model) == nil ? nil : outcome)
        }
    }

    /// Stops all of them; each is over as soon as its disk lets it.
    func stop() {
        for work in works.values { work.stop() }
    }

    /// Waits for none of them any more.
    ///
    /// - Returns: the models whose files are given up.
    func abandon() -> [Int] {
        defer { works = [:] }
        return works.keys.sorted()
    }
}
