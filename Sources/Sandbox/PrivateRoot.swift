import Glibc
import System

/// One thing that a sandbox's root shows: a file or folder of the host, read-only, or a symbolic link.
struct RootEntry: Equatable {
    var path: String
    var link: String?
}

/// What workers see of the file system: programs and libraries, a few files of /etc, and what they are given. Nothing else.
struct PrivateRoot {
    /// Entries, ancestors before what lies below them.
    let entries: [RootEntry]
    /// All that is shown, what lies in other entries too.
    let places: [String]

    /// The system's folders; where the host has a symbolic link (`/bin` on a merged /usr) so has the sandbox.
    static let system = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]
    /// What name look-ups, certificates, time zones and the loader need.
    static let configuration = [
        "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives", "/etc/ssl", "/etc/pki",
        "/etc/ca-certificates", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/passwd", "/etc/group",
        "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/etc/protocols", "/etc/services",
    ]
    /// Places that the sandbox makes anew for every worker; what lies in them can't be shown.
    static let privatePlaces = ["/proc", "/dev", "/sys"]

    /// Shows the system and the given files and folders, with whatever their symbolic links lead to.
    ///
    /// - Parameter links: symbolic links that the host does not have, by what they lead to.
    init(showing paths: [String], links: [String: String] = [:]) throws(SandboxError) {
        var shown: [RootEntry] = []
        for path in Self.system + Self.configuration { Self.add(path, to: &shown) }
        for path in paths {
            guard path.hasPrefix("/"), let real = Path.resolved(path) else {
                throw SandboxError("showing \(path) to the models", errno: ENOENT)
            }
            guard real != "/", !Self.privatePlaces.contains(where: { real == $0 || real.hasPrefix($0 + "/") }) else {
                throw SandboxError(
                    "showing \(path) to the models", errno: EINVAL,
                    remedy: "move it to an ordinary folder below /home, for example")
            }
            Self.add(path, to: &shown)
        }
        shown += links.map { RootEntry(path: $0.key, link: $0.value) }
        entries = Self.withoutNested(shown)
        places = shown.map(\.path)
    }

    /// Adds what a path leads to, and every symbolic link on the way: programs find their folders by the names they were given.
    private static func add(_ path: String, to entries: inout [RootEntry]) {
        var rest = path.split(separator: "/").map(String.init)
        var real = ""
        var links: [RootEntry] = []
        while !rest.isEmpty {
            let name = rest.removeFirst()
            if name == ".." { real = real.isEmpty ? "" : Path.parent(real) }
            if name == "." || name == ".." { continue }
            let next = (real == "/" ? "" : real) + "/" + name
            guard let target = Files.linkTarget(next) else {
                real = next
                continue
            }
            links.append(RootEntry(path: next, link: target))
            // As many as the kernel follows.
            guard links.count <= 40 else { return }
            if target.hasPrefix("/") { real = "" }
            rest = target.split(separator: "/").map(String.init) + rest
        }
        guard Files.exists(real) else { return }
        entries += links + [RootEntry(path: real)]
    }

    /// What lies in a folder that is shown is shown with it; the rest in the order of depth.
    private static func withoutNested(_ entries: [RootEntry]) -> [RootEntry] {
        let folders = Set(entries.filter { $0.link == nil }.map { BytePath($0.path) })
        var seen: Set<BytePath> = []
        return entries.map { (path: BytePath($0.path), entry: $0) }
            .filter { !$0.path.isBelow(anyOf: folders) && seen.insert($0.path).inserted }
            .sorted { $0.path < $1.path }.map(\.entry)
    }

    /// What lies below /tmp, which every worker has a new one of. Links are shown there as what they lead to.
    var belowTmp: [String] { entries.filter { $0.path.hasPrefix("/tmp/") }.map(\.path) }
}
