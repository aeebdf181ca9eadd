import Catalog
import Synchronization

/// The tables of one run that are on their way to the catalog: written, and then committed, all together or each by itself.
///
/// The files belong to it from the end of their worker on; those that no commit takes in are gone with it. Used on the engine's
/// thread; commits are background work.
final class Materializations {
    /// A table whose files are written.
    struct Written {
        let table: TableName
        let strategy: MaterializationStrategy
        let rewritten: Set<String>
        let content: WrittenTable
        let files: [StagedFile]
    }

    private let catalog: FolderCatalog?
    private let background: BackgroundWork
    private let run: Int
    /// Those that no commit has begun for, by the materialization's place in the plan.
    private var waiting: [Int: Written] = [:]
    private var commits: [Int: CommitWork] = [:]
    private var lastCommit = 0
    /// The tables that are published.
    private(set) var published: [RunReport.PublishedTable] = []

    /// - Parameters:
    ///   - warehouse: the catalog's folder; nil where the plan has none.
    ///   - run: its number; of each run only so much is written at once.
    init(warehouse: String?, _ background: BackgroundWork, run: Int) {
        catalog = warehouse.map { FolderCatalog($0) }
        self.background = background
        self.run = run
    }

    /// Whether a commit has begun and is not over.
    var isCommitting: Bool { !commits.isEmpty }

    /// The materializations that are written and wait for a commit, sorted.
    var waitingModels: [Int] { waiting.keys.sorted() }

    /// Makes files in the background.
    ///
    /// - Parameter then: is given them, or the reason why there are none, on the engine's thread.
    func makeFiles(_ count: Int, then: @escaping (Result<[StagedFile], CatalogError>) -> Void) {
        guard let catalog else { return then(.failure(CatalogError(.unusable, "the plan has no catalog"))) }
        background.begin(.catalog, of: run) { () -> Result<[StagedFile], CatalogError> in
            do throws(CatalogError) {
                return .success(try catalog.makeFiles(count))
            } catch {
                return .failure(error)
            }
        } then: {
            then($0)
        }
    }

    /// Takes in a table whose worker is dead.
    func add(_ written: Written, of model: Int) { waiting[model] = written }

    /// Begins to publish tables together.
    ///
    /// - Parameter then: called from the loop when it is over, with the reason where nothing was published; not after `abandon`.
    func commit(_ models: [Int], then: @escaping (CatalogError?) -> Void) {
        let tables = models.compactMap { waiting.removeValue(forKey: $0) }
        guard let catalog, !tables.isEmpty else { return then(nil) }
        let work = CommitWork(catalog, tables)
        lastCommit += 1
        let number = lastCommit
        commits[number] = work
        background.begin(.catalog, of: run) {
            work.run()
        } then: { result in
            guard self.commits.removeValue(forKey: number) != nil else { return }
            switch result {
            case .success(let published):
                self.published += published
                then(nil)
            case .failure(let error): then(error)
            }
        }
    }

    /// Stops commits that nobody can have seen yet.
    func stop() {
        for work in commits.values { work.stop() }
    }

    /// Waits for no commit any more.
    func abandon() { commits = [:] }
}

extension TableChange {
    /// What becomes of a table by the files that were written.
    fileprivate init(_ written: Materializations.Written) {
        let strategy: Strategy =
            switch written.strategy {
            case .replace: .replace
            case .append: .append
            case .overwritePartitions: .overwritePartitions(written.content.filter, rewritten: written.rewritten)
            }
        self.init(
            written.table, strategy, fields: written.content.fields, partitions: written.content.partitions,
            files: written.content.files.map {
                DataFile(path: "", rows: $0.rows, bytes: 0, partition: $0.partition, bounds: $0.bounds)
            })
    }
}

extension RunReport.PublishedTable {
    /// The account of a commit.
    fileprivate init(_ change: TableChange, strategy: String) {
        func sum(_ figure: (DataFile) -> Int64) -> Int64 {
            change.files.reduce(0) { sum, file in
                let (next, overflows) = sum.addingReportingOverflow(figure(file))
                return overflows ? .max : next
            }
        }
        self.init(
            table: change.table.description, strategy: strategy, rows: sum(\.rows), bytes: sum(\.bytes),
            files: change.files.count)
    }
}

/// One commit, on a thread that may wait.
private final class CommitWork: Sendable {
    private let catalog: FolderCatalog
    private let changes: [TableChange]
    private let files: [[StagedFile]]
    private let strategies: [String]
    private let isStopped = Atomic<Bool>(false)

    init(_ catalog: FolderCatalog, _ tables: [Materializations.Written]) {
        self.catalog = catalog
        changes = tables.map { TableChange($0) }
        files = tables.map { table in table.content.files.map { table.files[$0.file] } }
        strategies = tables.map(\.strategy.rawValue)
    }

    func stop() { isStopped.store(true, ordering: .relaxed) }

    func run() -> Result<[RunReport.PublishedTable], CatalogError> {
        do throws(CatalogError) {
            let made = try catalog.commit(changes, files) { !self.isStopped.load(ordering: .relaxed) }
            return .success(zip(made, strategies).map { RunReport.PublishedTable($0, strategy: $1) })
        } catch {
            return .failure(error)
        }
    }
}
