import CLinux
import Glibc

extension SystemCall {
    /// Giving a file another name.
    public static let rename: SystemCall = "rename"
    /// Making a folder.
    public static let makeDirectory: SystemCall = "mkdir"
    /// Removing an empty folder.
    public static let removeDirectory: SystemCall = "rmdir"
    /// Removing a file.
    public static let unlink: SystemCall = "unlink"
    /// Asking what a name stands for.
    public static let statusByName: SystemCall = "stat"
    /// Listing a folder.
    public static let list: SystemCall = "opendir"
}

/// Small files and folders by name: `/proc`, `/sys`, cgroups, state.
public enum Files {
    /// The whole content of a small file. `EFBIG` when it is longer than `bytesMax`.
    public static func read(_ path: String, bytesMax: Int) throws(SystemError) -> [UInt8] {
        let file = try FileDescriptor.open(path)
        var content: [UInt8] = []
        // Files of /proc and /sys say they are empty, and give what they have in pieces: read to the end.
        var piece = [UInt8](repeating: 0, count: min(bytesMax, 64 << 10) + 1)
        while true {
            let count = try piece.withUnsafeMutableBufferPointer { (buffer) throws(SystemError) in
                try file.read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            if count == 0 { return content }
            content += piece[..<count]
            if content.count > bytesMax {
                throw SystemError(.read, errno: EFBIG, context: "\(path), which exceeds \(bytesMax) bytes")
            }
        }
    }

    /// Writes a small file; it is made, or emptied first, unless `create` is off (as for control files).
    public static func write(
        _ path: String, _ content: String, create: Bool = true, mode: mode_t = 0o600
    ) throws(SystemError) {
        let flags = create ? O_WRONLY | O_CREAT | O_TRUNC : O_WRONLY
        let file = try FileDescriptor.open(path, flags, mode: mode)
        try Array(content.utf8).withUnsafeBufferPointer { (bytes) throws(SystemError) in
            try file.writeAll(UnsafeRawBufferPointer(bytes))
        }
    }

    /// Makes a folder. `EEXIST` when it is there.
    public static func makeDirectory(_ path: String, mode: mode_t = 0o700) throws(SystemError) {
        try perform(.makeDirectory, path) { mkdir(path, mode) }
    }

    /// Removes an empty folder.
    public static func removeDirectory(_ path: String) throws(SystemError) {
        try perform(.removeDirectory, path) { rmdir(path) }
    }

    /// Removes a file.
    public static func remove(_ path: String) throws(SystemError) {
        try perform(.unlink, path) { unlink(path) }
    }

    /// Gives a file another name; a file that has that name is replaced.
    public static func rename(_ path: String, _ new: String) throws(SystemError) {
        try perform(.rename, "\(path) to \(new)") { Glibc.rename(path, new) }
    }

    /// Sets the permissions of a file or folder.
    public static func changeMode(_ path: String, _ mode: mode_t) throws(SystemError) {
        try perform(.changeMode, path) { chmod(path, mode) }
    }

    /// The target of a symbolic link; nil for anything else.
    public static func linkTarget(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes {
            readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }

    /// Whether a file, or folder, has an extended attribute with just that value. Source: getxattr(2).
    public static func hasAttribute(_ path: String, _ name: String, _ value: String) -> Bool {
        zerrow_has_attribute(path, name, value) == 1
    }

    /// The identity of a file, which differs from another file's and from another build's: device, inode, size, time of change.
    public static func identity(_ path: String) throws(SystemError) -> String {
        var status = stat()
        try perform(.statusByName, path) { stat(path, &status) }
        return "\(status.st_dev)-\(status.st_ino)-\(status.st_size)-\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    /// The file or folder that a name stands for, whatever its content: device and inode; nil when there is none.
    public static func place(_ path: String) -> String? {
        var status = stat()
        return stat(path, &status) == 0 ? "\(status.st_dev)-\(status.st_ino)" : nil
    }

    /// Whether a path is a folder, or a link to one.
    public static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether a path is a regular file, or a link to one.
    public static func isRegular(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Whether there is something of that name that this process can see.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The names in a folder, sorted, without `.` and `..`.
    public static func list(_ path: String) throws(SystemError) -> [String] {
        var stream: OpaquePointer?
        try perform(.list, path) { () -> Int32 in
            stream = opendir(path)
            return stream == nil ? -1 : 0
        }
        guard let stream else { preconditionFailure("opendir said it succeeded") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
