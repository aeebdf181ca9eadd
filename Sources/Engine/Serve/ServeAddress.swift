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

    /// Makes the folder, and makes sure that it is the user's alone: somebody who can put another socket there could read projects.
    func makeFolder() throws {
        let folder = Path.parent(path)
        if !Files.exists(folder) { try Files.makeDirectory(folder, mode: 0o700) }
        guard Files.isPrivateFolder(folder) else {
            throw EngineError.serve(
                "\(folder) belongs to another user or others may write to it: choose another place with --socket")
        }
    }

    /// The identity that both ends must share: the very same build, and the same packages.
    static func build(of installation: Installation) -> String {
        // The running executable is asked, not the file of its name: that may have been built anew since.
        let executable = (try? Files.identity("/proc/self/exe")) ?? "unknown"
        return "\(executable) \(installation.home) \(installation.python)"
    }
}
