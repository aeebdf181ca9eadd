import System

/// The files outside of a project that say what git ignores in it: of the repository that it lies in, and of its user.
///
/// The planner reads them, and sees nothing else of the folders they are in.
struct IgnoreFiles {
    /// So many folders above a project are looked at, as by the planner (`ignored.py`).
    private static let foldersMax = 64

    /// Those that are there.
    private(set) var files: [String] = []
    /// What the planner is told of git's configuration, as arguments.
    private(set) var arguments: [String] = []

    /// Looks for them for the project in a folder, which is a real path.
    init(above project: String, _ environment: [String: String]) {
        var found = [String]()
        var folder = project
        for _ in 0..<Self.foldersMax {
            let isRepository = Files.exists(folder + "/.git")
            // What lies in the project is shown with it.
            if folder != project {
                found.append(folder + "/.gitignore")
                // The second is there to tell that it is a repository; of a linked one `.git` is a file.
                if isRepository { found += ["/.git/info/exclude", "/.git/HEAD"].map { folder + $0 } }
                if isRepository, Files.isRegular(folder + "/.git") { found.append(folder + "/.git") }
            }
            if isRepository {
                let settings = GitSettings(repository: folder, environment)
                if Files.isRegular(folder + "/.git"), let own = GitSettings.folder(of: folder) {
                    found.append(own + "/info/exclude")
                    arguments += ["--git-folder", own]
                }
                if settings.ignoresCase { arguments.append("--ignore-case") }
                if let file = settings.excludesFile {
                    found.append(file)
                    arguments += ["--excludes", file]
                } else {
                    found += Self.user(environment)
                }
                files = found.filter { Files.isRegular($0) }
                return
            }
            if folder == "/" { break }
            folder = Path.parent(folder)
        }
    }

    /// The user's own rules for all repositories, where no setting names them.
    private static func user(_ environment: [String: String]) -> [String] {
        // An empty variable counts as none.
        let own = environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 }
        let base = own ?? environment["HOME"].map { $0 + "/.config" }
        return base.map { [$0 + "/git/ignore"] } ?? []
    }
}
