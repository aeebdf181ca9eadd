import System

/// What git's configuration says of the files that it ignores: read as data, by the engine, which shows the planner no
/// configuration, as that may hold passwords. Files that it includes are not read.
struct GitSettings {
    /// `core.excludesFile`: the file of rules for all repositories of a user; nil where none is named.
    private(set) var excludesFile: String?
    /// `core.ignoreCase`: rules mean names whatever the case of their letters.
    private(set) var ignoresCase = false

    private static let fileBytesMax = 1 << 20

    /// The settings that hold in a repository: the machine's, then the user's, then its own, of which the last counts.
    ///
    /// A repository may be a stranger's: the file that its own settings name counts only where it lies in the repository,
    /// for it is shown to the planner.
    init(repository: String, _ environment: [String: String]) {
        let home = environment["HOME"] ?? ""
        let base = environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? home + "/.config"
        let machine = Self.isTrue(environment["GIT_CONFIG_NOSYSTEM"] ?? "") ? [] : ["/etc/gitconfig"]
        for file in machine + [base + "/git/config", home + "/.gitconfig"] {
            read(file, repository, home) { _ in true }
        }
        guard let folder = Self.folder(of: repository) else { return }
        read(folder + "/config", repository, home) { Path.resolved($0)?.hasPrefix(repository + "/") ?? false }
    }

    /// The folder that holds the configuration of a repository: `.git`, or what a file of that name says.
    static func folder(of repository: String) -> String? {
        let entry = repository + "/.git"
        guard Files.isRegular(entry) else { return entry }
        guard let link = text(entry), link.hasPrefix("gitdir:") else { return nil }
        let folder = path(trimmed(link.dropFirst("gitdir:".count)), from: repository)
        // A worktree's folder names the one that it shares with the others.
        guard let common = text(folder + "/commondir") else { return folder }
        return path(trimmed(common[...]), from: folder)
    }

    private mutating func read(_ file: String, _ repository: String, _ home: String, mayName: (String) -> Bool) {
        guard let text = Self.text(file) else { return }
        for (key, value) in Self.core(text) {
            switch key {
            case "ignorecase": ignoresCase = Self.isTrue(value)
            case "excludesfile":
                guard let value else { continue }
                let named = value.hasPrefix("~/") ? home + value.dropFirst(1) : Self.path(value, from: repository)
                if value.isEmpty || mayName(named) { excludesFile = named }
            default: continue
            }
        }
    }

    /// The keys, in small letters, and values of the section `core`; nil is the value of a key that stands alone.
    static func core(_ text: String) -> [(key: String, value: String?)] {
        var found: [(key: String, value: String?)] = []
        var isCore = false
        // A backslash at its end has a line go on in the next one.
        let lines = text.replacing("\r\n", with: "\n").replacing("\\\n", with: "").split(separator: "\n")
        for line in lines {
            var rest = line.drop(while: \.isWhitespace)
            if rest.first == "[" {
                guard let end = rest.firstIndex(of: "]") else { continue }
                isCore = trimmed(rest[rest.index(after: rest.startIndex)..<end]).lowercased() == "core"
                rest = rest[rest.index(after: end)...].drop(while: \.isWhitespace)
            }
            guard isCore, let first = rest.first, first.isLetter else { continue }
            let key = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" }
            let after = rest[key.endIndex...].drop(while: \.isWhitespace)
            found.append((key.lowercased(), after.first == "=" ? value(after.dropFirst()) : nil))
        }
        return found
    }

    /// A value without its quotes, escapes and comment.
    private static func value(_ text: Substring) -> String {
        var value = ""
        // Space at the end counts where something follows it.
        var space = ""
        var isQuoted = false
        var letters = text.drop(while: \.isWhitespace)[...]
        while let letter = letters.popFirst() {
            if !isQuoted, letter == "#" || letter == ";" { break }
            if !isQuoted, letter.isWhitespace {
                space.append(letter)
                continue
            }
            value += space
            space = ""
            if letter == "\"" {
                isQuoted.toggle()
            } else if letter == "\\", let escaped = letters.popFirst() {
                value.append(["n": "\n", "t": "\t", "b": "\u{8}"][escaped] ?? escaped)
            } else {
                value.append(letter)
            }
        }
        return value
    }

    private static func isTrue(_ value: String?) -> Bool {
        guard let value = value?.lowercased() else { return true }
        return ["true", "yes", "on"].contains(value) || (Int(value) ?? 0) != 0
    }

    private static func path(_ name: String, from folder: String) -> String {
        name.hasPrefix("/") ? name : folder + "/" + name
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop(while: \.isWhitespace)
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }

    /// The text of a regular file that is not too long.
    private static func text(_ file: String) -> String? {
        guard Files.isRegular(file), let bytes = try? Files.read(file, bytesMax: fileBytesMax) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
