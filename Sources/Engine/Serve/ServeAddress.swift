import Glibc
import System

/// The address at which a user's engine listens.
public struct ServeAddress: Sendable {
    /// The socket.
    public let path: String

    /// The address that a command is given, or `ZERROW_SOCKET`, or the user's own place.
    ///
    /// - Throws: when the path is too long for a socket.
    public init(_ given: String?, environment: [String: String]) throws {
        path = Self.path(given, environment)
        guard path.utf8.count <= LocalSocket.pathBytesMax else {
            throw EngineError.serve(
                "the socket's path has \(path.utf8.count) bytes, \(LocalSocket.pathBytesMax) are possible: \(path)")
        }
    }

    private static func path(_ given: String?, _ environment: [String: String]) -> String {
        if let given = given ?? environment["ZERROW_SOCKET"], !given.isEmpty { return given }
        if let folder = environment["XDG_RUNTIME_DIR"], folder.hasPrefix("/") { return folder + "/zerrow/engine.sock" }
        return "/tmp/zerrow-\(geteuid())/engine.sock"
    }

    /// The socket's name in its folder.
    var name: String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Makes the folder, and makes sure that it is the user's alone: who can put another socket there reads projects.
    func madeFolder() throws -> Folder {
        let folder = Path.parent(path)
        if !Files.exists(folder) { try Files.makeDirectory(folder, mode: 0o700) }
        return try privateFolder()
    }

    /// The folder, if it is the user's alone. Throws `EngineError.serve`, which says what to do, or why it can't be opened.
    func privateFolder() throws -> Folder {
        let folder = try Folder(Path.parent(path))
        if let sharing = try folder.sharing() {
            throw EngineError.serve("\(folder.path): \(sharing), with --socket or ZERROW_SOCKET")
        }
        return folder
    }

    /// The identity that both ends must share: the very same build, and the same packages.
    static func build(of installation: Installation) -> String {
        // The running executable is asked, not the file of its name: that may have been built anew since.
        let executable = (try? Files.identity("/proc/self/exe")) ?? "unknown"
        return "\(executable) \(installation.home) \(installation.python)"
    }
}
