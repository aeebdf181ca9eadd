import CLinux
import Glibc

extension SystemCall {
    /// Asking where a name leads to.
    public static let resolve: SystemCall = "realpath"
}

/// A path as the kernel has it: bytes, which need be no text. It comes from another process, and may name anything.
public struct RawPath: Sendable, Equatable {
    /// The bytes, without a NUL.
    public let bytes: [UInt8]

    /// A path that is absolute and no longer than the kernel's longest; nil for another one.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.first == UInt8(ascii: "/"), bytes.count < Int(PATH_MAX), !bytes.contains(0) else { return nil }
        self.bytes = Array(bytes)
    }

    /// The real path that it leads to, links followed, or the number of the error.
    public func resolved() -> (path: RawPath?, errno: Int32) {
        withCString { name in
            guard let real = realpath(name, nil) else { return (nil, errno) }
            defer { free(real) }
            return (RawPath(UnsafeBufferPointer(start: real, count: strlen(real)).map { UInt8(bitPattern: $0) }), 0)
        }
    }

    /// The result of stat(2), links followed; nil, with `errno` set, if there is none.
    public func status() -> stat? {
        withCString { name in
            var status = stat()
            return stat(name, &status) == 0 ? status : nil
        }
    }

    /// Whether something has that name: a link counts, whatever it leads to.
    public func isThere() -> Bool {
        withCString { name in
            var status = stat()
            return lstat(name, &status) == 0
        }
    }

    /// Whether this process's user may read it.
    public func isReadable() -> Bool { withCString { access($0, R_OK) == 0 } }

    /// The kind of its file system, as statfs(2) numbers them; 0 where that can't be told.
    public func fileSystem() -> UInt64 { withCString { zerrow_file_system_of($0) } }

    /// Whether it is one of these folders, or lies in one.
    public func isAt(orBelow folders: [String]) -> Bool {
        folders.contains { folder in
            let start = Array(folder.utf8)
            return bytes.starts(with: start) && (bytes.count == start.count || bytes[start.count] == UInt8(ascii: "/"))
        }
    }

    /// Opens a regular file to be read; nothing is waited for.
    ///
    /// - Throws: `EINVAL` for anything else: a device is not opened, as that may do something.
    public func openRegular() throws(SystemError) -> FileDescriptor {
        let context = String(decoding: bytes, as: UTF8.self)
        guard let status = status() else { throw SystemError(.statusByName, errno: errno, context: context) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw SystemError(.open, errno: EINVAL, context: context) }
        let file = FileDescriptor(
            owning: try perform(.open, context) {
                withCString { Glibc.open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) }
            })
        var now = stat()
        let raw = file.raw
        try perform(.statusByName, context) { fstat(raw, &now) }
        guard now.st_mode & S_IFMT == S_IFREG else { throw SystemError(.open, errno: EINVAL, context: context) }
        return file
    }

    /// The kind of a folder's entry.
    public enum Kind: UInt8, Sendable {
        case folder = 0x64  // d
        case file = 0x66  // f
        case linkToFolder = 0x44  // D
        case otherLink = 0x4c  // L
        case other = 0x6f  // o
    }

    /// The entries of a folder: for each the byte of its kind, its name and a NUL. The number of the error where it can't be
    /// listed, `EFBIG` where the list is longer than `bytesMax`.
    public func entries(bytesMax: Int) -> (list: [UInt8], errno: Int32) {
        withCString { name in
            let raw = Glibc.open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK)
            guard raw >= 0 else { return ([], errno) }
            guard let stream = fdopendir(raw) else {
                let code = errno
                close(raw)
                return ([], code)
            }
            defer { closedir(stream) }
            var list: [UInt8] = []
            while let entry = readdir(stream) {
                let start = list.count
                list.append(0)
                withUnsafeBytes(of: &entry.pointee.d_name) { list += $0.prefix { $0 != 0 } }
                list.append(0)
                if list.count > bytesMax { return ([], EFBIG) }
                let own = list[(start + 1)...].dropLast()
                if own.elementsEqual([UInt8(ascii: ".")]) || own.elementsEqual([UInt8(ascii: "."), UInt8(ascii: ".")]) {
                    list.removeSubrange(start...)
                } else {
                    list[start] = Self.kind(of: entry, in: raw).rawValue
                }
            }
            return (list, 0)
        }
    }

    private static func kind(of entry: UnsafeMutablePointer<dirent>, in folder: Int32) -> Kind {
        switch Int(entry.pointee.d_type) {
        case Int(DT_DIR): return .folder
        case Int(DT_REG): return .file
        case Int(DT_LNK), Int(DT_UNKNOWN): break
        default: return .other
        }
        var (own, target) = (stat(), stat())
        return withUnsafePointer(to: &entry.pointee.d_name) { tuple in
            tuple.withMemoryRebound(to: CChar.self, capacity: 256) { name in
                guard fstatat(folder, name, &own, AT_SYMLINK_NOFOLLOW) == 0 else { return .other }
                guard own.st_mode & S_IFMT == S_IFLNK else {
                    return own.st_mode & S_IFMT == S_IFDIR ? .folder : own.st_mode & S_IFMT == S_IFREG ? .file : .other
                }
                let leads = fstatat(folder, name, &target, 0) == 0
                return leads && target.st_mode & S_IFMT == S_IFDIR ? .linkToFolder : .otherLink
            }
        }
    }

    private func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (bytes + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { body($0.baseAddress!) }
        }
    }
}
