import Glibc
import System

/// The lock of a folder catalog: who commits has it alone, who reads has it with others, for as long as this object lives.
final class CatalogLock {
    /// How often it is tried again, in microseconds: the end of a lock is no event.
    private static let pauseMicroseconds: UInt32 = 2000
    /// How long it is tried, in seconds. Nobody has it longer than some writes to a disk take.
    private static let secondsMax = 60.0

    private let file: DescriptorBox

    /// Waits for the lock.
    ///
    /// - Parameters:
    ///   - isShared: whether others may have it at the same time, as readers.
    ///   - isWanted: is asked again and again; false ends the waiting with `stopped`.
    init(_ folder: Folder, isShared: Bool, isWanted: () -> Bool) throws(CatalogError) {
        let name = "\(folder.path)/\(FolderCatalog.Name.lock)"
        do {
            file = DescriptorBox(try folder.openOrMakeOwn(FolderCatalog.Name.lock))
        } catch {
            throw CatalogError(.unusable, "the lock \(name) can't be used: \(error)")
        }
        let end = MonotonicClock.nanoseconds() + UInt64(Self.secondsMax * 1e9)
        while true {
            do throws(SystemError) {
                if try isShared ? file.descriptor.shareLockIfFree() : file.descriptor.lockIfFree() { return }
            } catch {
                throw CatalogError("locking \(name)", error)
            }
            guard isWanted() else { throw CatalogError(.stopped, "it was stopped while it waited for \(name)") }
            guard MonotonicClock.nanoseconds() < end else {
                throw CatalogError(
                    .unusable,
                    "another process has had \(name) locked for \(Int(Self.secondsMax)) seconds: end it, or run again later"
                )
            }
            usleep(Self.pauseMicroseconds)
        }
    }
}

/// A reader's hold on the files of one version of a folder catalog, for as long as this object, or the process, lives.
///
/// It is a lock on a file whose name is the version. A commit that gets that lock knows that nobody has it any more.
final class CatalogPin: Sendable {
    private let file: DescriptorBox
    private let folder: Folder
    private let name: String

    /// Holds a version, which must be locked for reading; nil where nothing can be written.
    init?(_ warehouse: Folder, version: Int) {
        guard let folder = Self.folder(of: warehouse, isMade: true) else { return nil }
        let name = "\(version)-\(String(UInt64.random(in: 0...UInt64.max), radix: 16))"
        guard let file = try? folder.make(name) else { return nil }
        self.file = DescriptorBox(file)
        self.folder = folder
        self.name = name
        guard (try? self.file.descriptor.lockIfFree()) == true else { return nil }
    }

    deinit { try? folder.remove(name) }

    /// The least version that somebody holds; nil where nobody holds one. Pins of the dead are removed. Under the commit's lock.
    static func least(in warehouse: Folder) throws(SystemError) -> Int? {
        guard let folder = folder(of: warehouse, isMade: false) else { return nil }
        var least: Int?
        for name in try folder.names() {
            guard let version = Int(name.prefix { $0 != "-" }) else { continue }
            if let file = try? folder.openOwn(name, O_RDWR), (try? file.lockIfFree()) == true {
                try? folder.remove(name)
            } else if (try? folder.status(of: name)) != nil {
                // What can't be opened or locked may be somebody's.
                least = min(least ?? version, version)
            }
        }
        return least
    }

    private static func folder(of warehouse: Folder, isMade: Bool) -> Folder? {
        do {
            if isMade { try warehouse.makeFolder(FolderCatalog.Name.pins, mode: 0o700) }
            return try warehouse.folder(FolderCatalog.Name.pins)
        } catch {
            return nil
        }
    }
}
