import System

/// Where a history is kept: found to be fit before the database library opens it by its name, and put out of the way where it is not.
struct HistoryFile: Sendable {
    /// The file, as it was named.
    let path: String
    private let folderPath: String
    private let name: String

    init(_ path: String) {
        self.path = path
        folderPath = Path.parent(path)
        name = path.split(separator: "/").last.map(String.init) ?? path
    }

    /// What the library opens: the file, and what it keeps beside it, by the ends of their names.
    private static let ends = ["", "-journal", "-wal", "-shm"]

    /// The folder, if nobody else can put anything there.
    private func folder() throws(SQLite.Failure) -> Folder {
        let folder: Folder
        let sharing: String?
        do throws(SystemError) {
            folder = try Folder(folderPath)
            sharing = try folder.sharing()
        } catch {
            throw SQLite.Failure("\(error)")
        }
        guard let sharing else { return folder }
        throw SQLite.Failure("\(folderPath): \(sharing) (ZERROW_HISTORY names the file)")
    }

    /// Makes its folder, and those above it, where they are not there.
    func makeFolder() {
        var missing: [String] = []
        var folder = folderPath
        while !Files.exists(folder), folder.count > 1 {
            missing.append(folder)
            folder = Path.parent(folder)
        }
        // Where one can't be made, the file can't be opened, which says why.
        for folder in missing.reversed() { _ = try? Files.makeDirectory(folder, mode: 0o700) }
    }

    /// The path without links, when each file that the library would open by it is one of this user's alone, or not there.
    ///
    /// - Throws: what says `isBroken` when it is something else.
    func checkedPath() throws(SQLite.Failure) -> String {
        let folder = try folder()
        for end in Self.ends {
            do throws(UnfitEntry) {
                _ = try folder.openOwn(name + end).raw
            } catch {
                if !error.isMissing { throw SQLite.Failure(notADatabase: "\(folderPath)/\(error)") }
            }
        }
        guard let real = Path.resolved(folderPath) else { throw SQLite.Failure("\(folderPath) is gone") }
        return "\(real)/\(name)"
    }

    /// Gives what is in the file's place another name, so that a new file can be made.
    ///
    /// - Returns: whether nothing is in its place any more.
    func setAside() throws(SQLite.Failure) -> Bool {
        let folder = try folder()
        for end in Self.ends { _ = try? folder.rename(name + end, name + ".broken" + end) }
        return Self.ends.allSatisfy { ((try? folder.status(of: name + $0)) ?? nil) == nil }
    }
}
