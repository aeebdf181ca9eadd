import Glibc
import SIPC
import Store
import System

/// A folder of results that outlive the engine: Arrow IPC files, each named by its key.
///
/// Any number of engines may use it at once: a file gets its name when it is whole, and is never changed.
struct SavedResults: Sendable {
    /// Where they are, absolute.
    let folder: String

    /// The folder, made where there is none; the longest unused results beyond `bytesMax` go.
    ///
    /// - Throws: when no file can be made in it.
    init(_ folder: String) throws {
        if !Files.exists(folder) { try Files.makeDirectory(folder, mode: 0o700) }
        guard let path = Path.resolved(folder), access(path, W_OK | X_OK) == 0 else {
            throw EngineError.options("--cache-dir \(folder): no files can be made there")
        }
        self.folder = path
        prune()
    }

    func path(_ key: String) -> String { "\(folder)/\(key).arrow" }

    /// The saved result, open for reading; nil where there is none.
    func open(_ key: String) -> DescriptorBox? {
        // The file's time tells the pruning that it is used.
        utimes(path(key), nil)
        return try? DescriptorBox(FileDescriptor.open(path(key)))
    }

    /// Removes a result that can't be read.
    func remove(_ key: String) { try? Files.remove(path(key)) }

    /// Removes the longest unused results, until all take at most half of the disk's room for them.
    func prune() {
        var entries: [(path: String, bytes: UInt64, usedAt: Int)] = []
        for name in (try? Files.list(folder)) ?? [] where name.hasSuffix(".arrow") {
            var status = stat()
            guard stat("\(folder)/\(name)", &status) == 0 else { continue }
            entries.append(("\(folder)/\(name)", UInt64(status.st_blocks) * 512, status.st_mtim.tv_sec))
        }
        var disk = statvfs()
        guard statvfs(folder, &disk) == 0 else { return }
        var held = entries.reduce(0) { $0 + $1.bytes }
        let bytesMax = (UInt64(disk.f_bavail) * UInt64(disk.f_frsize) + held) / 2
        for entry in entries.sorted(by: { $0.usedAt < $1.usedAt }) where held > bytesMax {
            guard (try? Files.remove(entry.path)) != nil else { continue }
            held -= entry.bytes
        }
    }
}
