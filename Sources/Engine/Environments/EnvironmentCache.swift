import Glibc
import System

/// The folder of all environments that models ask for, shared by all projects of a user.
///
/// An environment is the folder of its id, and there is a folder of that name only when it is whole. Beside it lie `ID.json`, from which it
/// can be made again, and `ID.lock`: who uses the environment shares that lock, who makes or removes it has it alone. `KEY.request` says
/// which environment a request was resolved to. `wheels-…` are folders with a wheel of a package that had to be built. Folders with `.partial-` in their names are being made or removed, or were left behind.
///
/// Interpreters are started from here, so nobody else may be able to write to the folder.
public struct EnvironmentCache: Sendable {
    /// The folder's real path.
    public let folder: String

    /// The longest recipe or request, in bytes.
    private static let fileBytesMax = 8 << 20

    /// The folder of a user: `ZERROW_ENVIRONMENTS`, else `zerrow/environments` in the folder of caches. It is made if it isn't there.
    ///
    /// - Throws: `EngineError.options` when it can't be used.
    public init(environment: [String: String]) throws(EngineError) {
        try self.init(folder: try Self.place(environment))
    }

    /// The folder of that name; made if it isn't there.
    ///
    /// - Throws: `EngineError.options` when it can't be used.
    init(folder path: String) throws(EngineError) {
        func problem(_ text: String) -> EngineError {
            .options("the folder of environments, \(path): \(text) (ZERROW_ENVIRONMENTS names another one)")
        }
        do {
            try Self.make(path)
            if let sharing = try Folder(path).sharing() { throw problem(sharing) }
        } catch let error as SystemError {
            throw problem(SystemError.reason(error.errno))
        } catch let error as EngineError {
            throw error
        } catch {
            preconditionFailure("only these two errors are thrown above")
        }
        guard let real = Path.resolved(path) else { throw problem("it is gone") }
        folder = real
    }

    /// Where the folder of a user is, or would be.
    ///
    /// - Throws: `EngineError.options` when nothing says where.
    public static func place(_ environment: [String: String]) throws(EngineError) -> String {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        if let own = value("ZERROW_ENVIRONMENTS") {
            return own.hasPrefix("/") ? own : (Path.resolved(".") ?? ".") + "/" + own
        }
        if let caches = value("XDG_CACHE_HOME"), caches.hasPrefix("/") { return caches + "/zerrow/environments" }
        if let home = value("HOME"), home.hasPrefix("/") { return home + "/.cache/zerrow/environments" }
        throw .options("there is no folder for environments: set HOME, or ZERROW_ENVIRONMENTS to a folder of your own")
    }

    private static func make(_ path: String) throws(SystemError) {
        guard !Files.exists(path) else { return }
        try make(Path.parent(path))
        do {
            try Files.makeDirectory(path, mode: 0o700)
        } catch  where error.errno == EEXIST {
            return
        }
    }

    /// The folder of an environment.
    func path(_ id: String) -> String { "\(folder)/\(id)" }

    /// The interpreter of an environment.
    func python(_ id: String) -> String { path(id) + "/bin/python" }

    /// Whether a text may be an id: 32 hexadecimal digits.
    static func isID(_ text: String) -> Bool {
        text.utf8.count == 32
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// A name in the folder that nobody has.
    func newPath(_ name: String, _ kind: String) -> String {
        "\(folder)/\(name).\(kind)-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
    }

    // MARK: Locks

    /// Has an environment stay as it is, for as long as the result lives; nil when it is not there, or somebody makes or removes it.
    func hold(_ id: String) throws(SystemError) -> EnvironmentHold? {
        guard Files.isFolder(path(id)),
            let lock = try lock(id, { (file) throws(SystemError) in try file.shareLockIfFree() })
        else { return nil }
        // It may have been removed before it was locked.
        guard Files.isFolder(path(id)) else { return nil }
        // The time of the lock's file is that of the last use.
        try? lock.descriptor.touch()
        return EnvironmentHold(id: id, lock: lock)
    }

    /// The right to make or to remove an environment; nil while others use it, or make it.
    func lockAlone(_ id: String) throws(SystemError) -> DescriptorBox? {
        try lock(id) { (file) throws(SystemError) in try file.lockIfFree() }
    }

    private func lock(
        _ id: String, _ take: (borrowing FileDescriptor) throws(SystemError) -> Bool
    ) throws(SystemError) -> DescriptorBox? {
        let path = "\(folder)/\(id).lock"
        while true {
            let file = try FileDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, mode: 0o600)
            guard try take(file) else { return nil }
            // Whoever removed the environment may have removed the file as well, and somebody made a new one.
            if "\(try file.status().inode)" == Files.place(path)?.split(separator: "-").last.map(String.init) {
                return DescriptorBox(file)
            }
        }
    }

    // MARK: What is known

    /// The arguments by which uv finds wheels that were built.
    func findLinks(_ wheels: [String]) -> [String] { wheels.flatMap { ["--find-links", path($0)] } }

    /// The recipe of an environment; nil when there is none, or none that can be read.
    func recipe(_ id: String) -> EnvironmentRecipe? {
        guard Self.isID(id), let bytes = content("\(id).json"),
            let recipe = EnvironmentRecipe(bytes), recipe.id == id
        else { return nil }
        return recipe
    }

    /// The recipe that a request was resolved to before, if its interpreter is still there.
    func recipe(of request: EnvironmentRequest) -> EnvironmentRecipe? {
        guard let bytes = content("\(request.key).request"),
            let recipe = recipe(String(decoding: bytes, as: UTF8.self)),
            Path.resolved(recipe.python) == recipe.python,
            Files.isFolder(path(recipe.id)) || recipe.wheels.allSatisfy({ Files.isFolder(path($0)) })
        else { return nil }
        // Whoever tidies up leaves what was used lately.
        for name in ["\(request.key).request", "\(recipe.id).json"] {
            if let file = try? FileDescriptor.open("\(folder)/\(name)", O_RDWR | O_NOFOLLOW) { try? file.touch() }
        }
        return recipe
    }

    /// Keeps the environment that a request was resolved to.
    func keep(_ recipe: EnvironmentRecipe, for request: EnvironmentRequest) throws(SystemError) {
        try replace("\(recipe.id).json", recipe.utf8)
        try replace("\(request.key).request", Array(recipe.id.utf8))
    }

    private func content(_ name: String) -> [UInt8]? {
        guard let folder = try? Folder(folder), let file = try? folder.openOwn(name),
            let bytes = try? file.status().bytes, bytes <= Self.fileBytesMax
        else { return nil }
        return try? file.bytes(0..<bytes)
    }

    /// Writes a file that is there whole or not at all.
    private func replace(_ name: String, _ content: [UInt8]) throws(SystemError) {
        let new = newPath(name, "partial")
        try content.withUnsafeBufferPointer { (bytes) throws(SystemError) in
            let file = try FileDescriptor.open(new, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try file.writeAll(UnsafeRawBufferPointer(bytes))
        }
        try Files.rename(new, "\(folder)/\(name)")
    }
}

/// The right to use an environment: it stays as it is for as long as this lives.
final class EnvironmentHold: Sendable {
    /// The environment's.
    let id: String
    private let lock: DescriptorBox

    fileprivate init(id: String, lock: DescriptorBox) {
        self.id = id
        self.lock = lock
    }
}
