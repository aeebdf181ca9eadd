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
