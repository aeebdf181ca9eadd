import System

/// The files outside of a project that say what git ignores in it: of the repository that it lies in, and of its user.
///
/// The planner reads them, and sees nothing else of the folders they are in.
enum IgnoreFiles {
    /// So many folders above a project are looked at, as by the planner (`ignored.py`).
    private static let foldersMax = 64

    /// Those that are there, for the project in a folder, which is a real path.
    static func above(_ project: String, _ environment: [String: String]) -> [String] {
        var found = [String]()
        var folder = project
        for _ in 0..<foldersMax {
            let isRepository = Files.exists(folder + "/.git")
            // What lies in the project is shown with it.
            if folder != project {
                found.append(folder + "/.gitignore")
                // The second is there to tell that it is a repository; of a linked one `.git` is a file.
                if isRepository { found += ["/.git/info/exclude", "/.git/HEAD"].map { folder + $0 } }
                if isRepository, Files.isRegular(folder + "/.git") { found.append(folder + "/.git") }
            }
            if isRepository { return (found + user(environment)).filter { Files.isRegular($0) } }
            if folder == "/" { break }
            folder = Path.parent(folder)
        }
        return []
    }

    /// The user's own rules for all repositories.
    private static func user(_ environment: [String: String]) -> [String] {
        // An empty variable counts as none.
        let own = environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 }
        let base = own ?? environment["HOME"].map { $0 + "/.config" }
        return base.map { [$0 + "/git/ignore"] } ?? []
    }
}
