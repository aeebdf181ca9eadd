import FoundationEssentials
import Glibc
import System

/// One commit to a folder catalog: the files get their names, and the state is replaced.
struct FolderCommit {
    private let catalog: FolderCatalog
    private let folder: Folder
    private let isWanted: () -> Bool

    init(_ catalog: FolderCatalog, _ folder: Folder, isWanted: @escaping () -> Bool) {
        self.catalog = catalog
        self.folder = folder
        self.isWanted = isWanted
    }

    /// Makes it. Whatever goes wrong before the state has its name leaves the catalog as it was.
    func run(_ changes: [TableChange], _ files: [[StagedFile]]) throws(CatalogError) -> [TableChange] {
        // What takes long comes before the lock.
        for file in files.joined() { try synchronize(file) }
        HoldPoint.commit.pass()
        let lock = try CatalogLock(folder, isShared: false, isWanted: isWanted)
        defer { withExtendedLifetime(lock) {} }
        let before = try catalog.state(in: folder)
        var named = changes
        for (place, staged) in files.enumerated() { try name(&named[place], staged) }
        var after = try before.applying(named, at: Self.nanoseconds())
        removeRetired(&after, since: before)
        var linked: [(folder: Folder, name: String)] = []
        do {
            for (change, staged) in zip(named, files) where !staged.isEmpty {
                let used = Set(after.tables[change.table]?.files.map(\.path) ?? [])
                let tableFolder = try self.tableFolder(of: change.table)
                removeOrphans(of: change.table, in: tableFolder, before, after)
                for (file, source) in zip(change.files, staged) where used.contains(file.path) {
                    let name = String(file.path.split(separator: "/")[2])
                    try source.pending.link(as: name, in: tableFolder)
                    linked.append((tableFolder, name))
                }
                try tableFolder.synchronize()
            }
            try replaceState(by: after)
        } catch {
            for (folder, name) in linked { try? folder.remove(name) }
            throw error as? CatalogError ?? CatalogError(.system, "publishing to \(catalog.place): \(error)")
        }
        // The commit is made. What is left can be done by the next one.
        try? folder.synchronize()
        removeRetired(&after, since: nil)
        return named
    }

    private func synchronize(_ file: StagedFile) throws(CatalogError) {
        do throws(SystemError) {
            try file.file.descriptor.synchronize()
        } catch {
            throw CatalogError("a data file in \(catalog.place) can't be written to its disk", error)
        }
    }

    /// Gives a change's files names that nobody has, and notes their sizes.
    private func name(_ change: inout TableChange, _ staged: [StagedFile]) throws(CatalogError) {
        precondition(change.files.count == staged.count, "each file of a change is there")
        let place = change.table.folders.joined(separator: "/")
        for index in change.files.indices {
            let number = (0..<2).map { _ in String(UInt64.random(in: 1 << 60...UInt64.max), radix: 16) }.joined()
            change.files[index].path = "\(place)/\(number).parquet"
            do throws(SystemError) {
                change.files[index].bytes = Int64(try staged[index].file.descriptor.status().bytes)
            } catch {
                throw CatalogError("a data file in \(catalog.place)", error)
            }
        }
    }

    /// The folder of a table's files; made, for good, where there is none.
    private func tableFolder(of table: TableName) throws(SystemError) -> Folder {
        var parent = folder
        for name in table.folders {
            if try parent.status(of: name) == nil {
                try parent.makeFolder(name, mode: 0o755)
                try parent.synchronize()
            }
            parent = try parent.folder(name)
        }
        return parent
    }

    /// Writes the state to the disk, and gives it its name.
    private func replaceState(by state: CatalogState) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let content = [UInt8](try encoder.encode(state))
        guard content.count <= FolderCatalog.stateBytesMax else {
            throw CatalogError(
                .unusable,
                "the catalog in \(catalog.place) would have a state of \(content.count) bytes, \(FolderCatalog.stateBytesMax) are possible: remove tables, or partition them more coarsely"
            )
        }
        let pending = try PendingFile(in: folder, mode: 0o644)
        try pending.file.descriptor.writeAll(content, at: 0)
        try pending.file.descriptor.synchronize()
        HoldPoint.committing.pass()
        guard isWanted() else { throw CatalogError(.stopped, "it was stopped before anything was published") }
        try pending.replace(as: FolderCatalog.Name.state)
    }

    // MARK: What is no longer needed

    /// Removes retired files that nobody can read any more.
    ///
    /// - Parameter before: if given, only those that it has retired already are removed, and forgotten: those of this commit are still needed.
    private func removeRetired(_ state: inout CatalogState, since before: CatalogState?) {
        let candidates = (before ?? state).retired
        guard !candidates.isEmpty, let least = try? CatalogPin.least(in: folder) ?? Int.max else { return }
        var removed: Set<String> = []
        for file in candidates where least >= file.version {
            do throws(SystemError) {
                try folder.removeBelow(file.path)
            } catch {
                if error.errno != ENOENT { continue }
            }
            removed.insert(file.path)
        }
        state.retired.removeAll { removed.contains($0.path) }
    }

    /// Removes data files that no state has: under the lock, these can only be of a commit that died.
    private func removeOrphans(
        of table: TableName, in tableFolder: Folder, _ before: CatalogState, _ after: CatalogState
    ) {
        let place = table.folders.joined(separator: "/")
        var known: Set<String> = []
        for state in [before, after] {
            // Two tables may have one folder.
            for (name, table) in state.tables where name.folders.joined(separator: "/") == place {
                known.formUnion(table.files.map(\.path))
            }
            known.formUnion(state.retired.map(\.path))
        }
        for name in (try? tableFolder.names()) ?? [] where name.hasSuffix(".parquet") {
            if !known.contains("\(place)/\(name)") { try? tableFolder.remove(name) }
        }
    }

    private static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
