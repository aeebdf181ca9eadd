import FoundationEssentials
import Glibc
import System

/// A catalog in a folder, its warehouse: data files in `<namespace>/<table>/`, and the state of all tables in one file, `catalog.json`,
/// which each commit replaces as a whole under a lock. So a commit of many tables is seen at once or not at all, whatever dies when.
///
/// - Data files have no name until a commit gives them one, under the lock: a file with a name that no state has is an orphan of a commit
///   that died, and the next commit of its table removes it.
/// - Readers hold locks on files in `.pins`, which say the version they have read. Files that a commit takes out of a table
///   are removed when nobody holds an earlier version.
///
/// Nobody but its user may be able to write to the folder, because what is read there is believed as far as its form goes.
public struct FolderCatalog: Catalog {
    /// The names in the folder.
    enum Name {
        static let state = "catalog.json"
        static let lock = ".catalog.lock"
        static let pins = ".pins"
        static let ignore = ".gitignore"
    }

    /// The longest state that is read or written, in bytes.
    static let stateBytesMax = 256 << 20

    /// The warehouse's folder, absolute.
    public let place: String

    /// The catalog of a folder, which need not be there.
    public init(_ place: String) { self.place = place }

    /// The tables as they are now; none where there is no folder.
    public func read() throws(CatalogError) -> CatalogSnapshot {
        guard let folder = try opened(), (try? folder.status(of: Name.state)) != nil else {
            return CatalogSnapshot(state: CatalogState())
        }
        // Who can't write there can't lock either, and reads all the same: a state is always whole.
        let lock = try? CatalogLock(folder, isShared: true, isWanted: { true })
        defer { withExtendedLifetime(lock) {} }
        let state = try self.state(in: folder)
        // Under the lock: no commit comes between the reading and the pin.
        let isPinned = lock != nil && !state.tables.isEmpty
        return CatalogSnapshot(state: state, pin: isPinned ? CatalogPin(folder, version: state.version) : nil)
    }

    /// Makes files for a commit; the folder is made where there is none.
    public func makeFiles(_ count: Int) throws(CatalogError) -> [StagedFile] {
        let folder = try openedOrMade()
        var files: [StagedFile] = []
        for _ in 0..<count {
            do throws(SystemError) {
                files.append(StagedFile(try PendingFile(in: folder, mode: 0o644)))
            } catch {
                throw CatalogError("a file can't be made in \(place)", error)
            }
        }
        return files
    }

    /// Publishes: all changes, or none.
    public func commit(
        _ changes: [TableChange], _ files: [[StagedFile]], isWanted: @escaping () -> Bool
    ) throws(CatalogError) -> [TableChange] {
        let folder = try openedOrMade()
        return try FolderCommit(self, folder, isWanted: isWanted).run(changes, files)
    }

    // MARK: The folder

    /// The folder, if it is there and nobody else can write to it.
    private func opened() throws(CatalogError) -> Folder? {
        let folder: Folder
        do throws(SystemError) {
            folder = try Folder(place)
        } catch {
            if error.errno == ENOENT { return nil }
            throw CatalogError("the warehouse \(place) can't be opened", error)
        }
        try check(folder)
        return folder
    }

    private func check(_ folder: Folder) throws(CatalogError) {
        let sharing: String?
        do throws(SystemError) {
            sharing = try folder.sharing()
        } catch {
            throw CatalogError("the warehouse \(place) can't be looked at", error)
        }
        if let sharing { throw CatalogError(.unusable, "the warehouse \(place): \(sharing)") }
    }

    /// The folder; made where there is none. One that has other things in it is refused: a project's file may name any.
    private func openedOrMade() throws(CatalogError) -> Folder {
        if let folder = try opened() {
            try checkContent(of: folder)
            return folder
        }
        do throws(SystemError) {
            for path in [Path.parent(place), place] where !Files.exists(path) {
                do throws(SystemError) {
                    try Files.makeDirectory(path, mode: 0o755)
                } catch {
                    // Another run makes it at the same time.
                    if error.errno != EEXIST { throw error }
                }
            }
        } catch {
            throw CatalogError("the warehouse \(place) can't be made", error)
        }
        guard let folder = try opened() else {
            throw CatalogError(.unusable, "the warehouse \(place) was removed while it was made; run again")
        }
        try checkContent(of: folder)
        return folder
    }

    private func checkContent(of folder: Folder) throws(CatalogError) {
        do throws(SystemError) {
            // The lock is there before anything else is: whoever is the first, or dies as that, leaves a warehouse.
            for name in [Name.state, Name.lock] where try folder.status(of: name) != nil { return }
            // Files without a name can be given one for a moment, and what is not a table's begins with a dot.
            guard let other = try folder.names().first(where: { !$0.hasPrefix(".") }) else {
                return try begin(folder)
            }
            throw SystemError(.list, errno: ENOTEMPTY, context: other)
        } catch {
            guard error.errno == ENOTEMPTY else { throw CatalogError("the warehouse \(place) can't be listed", error) }
            throw CatalogError(
                .unusable,
                "the folder \(place) is no warehouse: it has other things in it (\(error.context)); name an empty or a new one"
            )
        }
    }

    /// Makes an empty folder a warehouse, which git ignores: it is data.
    private func begin(_ folder: Folder) throws(SystemError) {
        do throws(SystemError) {
            _ = try folder.make(Name.lock)
            let file = try folder.make(Name.ignore, mode: 0o644)
            try file.writeAll(Array("*\n".utf8), at: 0)
        } catch {
            if error.errno != EEXIST { throw error }
        }
    }

    // MARK: The state

    /// The state in the folder; that of an empty catalog where there is none.
    func state(in folder: Folder) throws(CatalogError) -> CatalogState {
        let path = "\(place)/\(Name.state)"
        let bytes: [UInt8]
        do {
            let file = try folder.openOwn(Name.state)
            let count = try file.status().bytes
            guard count <= Self.stateBytesMax else {
                throw CatalogError(.damaged, "\(path) has \(count) bytes, more than any state that is written")
            }
            bytes = try file.bytes(0..<count)
        } catch let error as UnfitEntry {
            if error.isMissing { return CatalogState() }
            throw CatalogError(.unusable, "the catalog in \(place): \(error)")
        } catch let error as CatalogError {
            throw error
        } catch {
            throw CatalogError(.system, "\(path) can't be read: \(error)")
        }
        let shape = JSONShape(bytes)
        guard shape.depth <= Self.depthMax else { throw damaged(path, "it nests deeper than \(Self.depthMax) levels") }
        let state: CatalogState
        do {
            state = try JSONDecoder().decode(CatalogState.self, from: Data(bytes))
        } catch {
            throw damaged(path, "\("\(error)".prefix(300))")
        }
        if let fault = state.fault { throw damaged(path, fault) }
        return state
    }

    /// A state nests no deeper than this.
    private static let depthMax = 16

    private func damaged(_ path: String, _ what: String) -> CatalogError {
        CatalogError(
            .damaged,
            "\(path) is damaged, and nothing was changed: \(what); put back a copy of it, or remove it to begin anew without its tables"
        )
    }
}
