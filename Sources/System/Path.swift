import Glibc

/// File paths as text. They are never resolved but by the kernel.
public enum Path {
    /// The folder a path lies in; `/` for a name at the root, `.` for a bare name.
    public static func parent(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The nearest folder at or above `folder` that holds `name`; nil when none does.
    public static func ancestor(of folder: String, holding name: String) -> String? {
        var folder = folder
        while true {
            if Files.exists(folder + "/" + name) { return folder }
            guard folder != "/", folder != "." else { return nil }
            folder = parent(folder)
        }
    }

    /// The path with symbolic links resolved; nil when it leads nowhere. Source: realpath(3).
    public static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}

/// A path compared by its bytes, as the kernel does. Swift compares texts by their characters: to it, two Unicode forms of one
/// text are equal, although they name two files.
public struct BytePath: Hashable, Comparable, Sendable {
    /// The path as text.
    public let text: String
    private let bytes: [UInt8]

    /// A path, absolute and without a slash at its end.
    public init(_ text: String) {
        self.text = text
        bytes = Array(text.utf8)
    }

    /// Whether it lies in a folder, at any depth.
    public func isBelow(_ folder: BytePath) -> Bool {
        let length = folder.bytes == [UInt8(ascii: "/")] ? 0 : folder.bytes.count
        return bytes.count > length + 1 && bytes[length] == UInt8(ascii: "/") && bytes.starts(with: folder.bytes)
    }

    /// The folders it lies in, the nearest first, without the root.
    public var folders: some Sequence<BytePath> {
        sequence(state: bytes.count) { (end: inout Int) -> BytePath? in
            guard let slash = bytes[..<end].lastIndex(of: UInt8(ascii: "/")), slash > 0 else { return nil }
            end = slash
            return BytePath(String(decoding: bytes[..<slash], as: UTF8.self))
        }
    }

    /// Whether it lies in one of several folders.
    public func isBelow(anyOf folders: Set<BytePath>) -> Bool { self.folders.contains { folders.contains($0) } }

    /// The paths that lie in no other of them, each once, sorted.
    public static func outermost(_ paths: some Sequence<BytePath>) -> [BytePath] {
        let all = Set(paths)
        return all.filter { !$0.isBelow(anyOf: all) }.sorted()
    }

    /// Whether two paths are the same, byte by byte.
    public static func == (one: BytePath, other: BytePath) -> Bool { one.bytes == other.bytes }

    /// The order of their bytes, in which a folder comes before its content.
    public static func < (one: BytePath, other: BytePath) -> Bool { one.bytes.lexicographicallyPrecedes(other.bytes) }

    /// Hashes the bytes.
    public func hash(into hasher: inout Hasher) { hasher.combine(bytes) }
}
