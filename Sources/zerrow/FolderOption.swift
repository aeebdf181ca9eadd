import Engine
import Glibc
import System

/// A folder that an option names. Checked before anything runs, so that no work is lost to a wrong name.
struct FolderOption {
    /// The option as it is written.
    let option: String
    let path: String
    /// The permissions with which it is made if it doesn't exist and its parent does; nil: it has to exist.
    var madeWithMode: mode_t?
    /// Whether it is for what is read again later, and trusted: then nobody else may be able to put anything there.
    var isPrivate = false

    /// Its absolute path; made if it may be. Throws `EngineError.options`, which says what is wrong with it.
    func checked() throws(EngineError) -> String {
        guard !path.isEmpty else { throw EngineError.options("\(option): the name is empty; name a folder") }
        if !Files.exists(path), let madeWithMode {
            do {
                try Files.makeDirectory(path, mode: madeWithMode)
            } catch {
                guard error.errno == EEXIST else {
                    throw problem(
                        "it can't be made: \(SystemError.reason(error.errno)); make it, or name another folder")
                }
            }
        }
        do {
            _ = try Files.identity(path)
        } catch {
            throw problem("\(SystemError.reason(error.errno)); make it, or name another folder")
        }
        guard Files.isFolder(path) else { throw problem("it is no folder; name one") }
        let sharing: String?
        do {
            // The permissions do not tell: a file system may be read-only, or take no files at all.
            let folder = try Folder(path)
            sharing = isPrivate ? try folder.sharing() : nil
            if sharing == nil { _ = try FileDescriptor.unnamed(in: folder) }
        } catch {
            throw problem("no file can be made there: \(SystemError.reason(error.errno)); name another folder")
        }
        if let sharing { throw problem(sharing) }
        return Path.resolved(path) ?? path
    }

    private func problem(_ text: String) -> EngineError { .options("\(option) \(path): \(text)") }
}
