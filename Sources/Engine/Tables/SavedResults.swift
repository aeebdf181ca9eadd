import Glibc
import SIPC
import Store
import System

/// A folder of results that outlive the engine: Arrow IPC files, each named by its key.
///
/// Any number of engines may use it at once: a file gets its name when it is whole, and is never changed. Nobody but their user can put
/// anything there. An entry is used only if it is a file of that user's alone, whole, and made for the key that its name says; any other is
/// removed, and made anew.
struct SavedResults: Sendable {
    private let folder: Folder

    /// The folder, made where there is none; the longest unused results beyond what the disk has for them go.
    ///
    /// - Throws: when others may write to it, or no file can be made in it.
    init(_ path: String) throws {
        let sharing: String?
        do {
            if !Files.exists(path) { try Files.makeDirectory(path, mode: 0o700) }
            folder = try Folder(path)
            sharing = try folder.sharing()
            if sharing == nil { _ = try FileDescriptor.unnamed(in: folder) }
        } catch {
            throw EngineError.options("--cache-dir \(path): no files can be made there: \(error)")
        }
        if let sharing { throw EngineError.options("--cache-dir \(path): \(sharing)") }
        prune()
    }

    /// Where they are, for messages.
    var path: String { folder.path }

    /// The name of the file for a key; nil for what is no key, as it is then no name either.
    private static func name(_ key: String) -> String? {
        let isKey = key.utf8.count == 32 && key.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        return isKey ? key + ".arrow" : nil
    }

    /// What there is for a key.
    enum Entry {
        case missing
        /// A file of this user's alone, open for reading; its bytes were not looked at.
        case file(DescriptorBox)
        /// Something else; what, with its name.
        case unfit(String)
    }

    /// Opens what is saved for a key. It never waits, whatever is there.
    func open(_ key: String) -> Entry {
        guard let name = Self.name(key) else { return .missing }
        do throws(UnfitEntry) {
            let file = try folder.openOwn(name)
            // It is used: the pruning sees it by the file's time.
            futimens(file.raw, nil)
            return .file(DescriptorBox(file))
        } catch {
            return error.isMissing ? .missing : .unfit(error.description)
        }
    }

    /// Begins to save a table for a key.
    ///
    /// - Returns: nil for what is no key.
    func beginSave(_ table: TableID, key: String, of store: SegmentStore) -> SaveWork? {
        guard let name = Self.name(key) else { return nil }
        return store.beginSave(table, in: folder, as: name, key: key)
    }

    /// Removes what is there for a key and can't be used. A folder stays, as it may be somebody's work.
    func remove(_ key: String) { if let name = Self.name(key) { try? folder.remove(name) } }

    /// Lets the results have half of what the disk has for them. What is no result stays, whatever its name ends with.
    func prune() {
        var entries: [(name: String, bytes: UInt64, usedAt: Int)] = []
        for name in (try? folder.names()) ?? [] where Self.name(String(name.dropLast(6))) == name {
            guard let status = try? folder.status(of: name), status.isOwnFile else { continue }
            entries.append((name, UInt64(status.residentBytes), status.changedAt))
        }
        guard let bytesFree = try? folder.bytesFree() else { return }
        var held = entries.reduce(0) { $0 + $1.bytes }
        let bytesMax = (bytesFree + held) / 2
        for entry in entries.sorted(by: { $0.usedAt < $1.usedAt }) where held > bytesMax {
            guard (try? folder.remove(entry.name)) != nil else { continue }
            held -= entry.bytes
        }
    }
}
