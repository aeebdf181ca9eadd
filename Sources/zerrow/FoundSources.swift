import System

/// The tables that a folder's data files may be, for a project that is written for them.
struct FoundSources {
    /// A source: its name, and the path of its file or folder, relative to the project's.
    struct Source: Equatable {
        let name: String
        let path: String
    }

    private static let endings: Set = [
        "parquet", "parq", "pq", "csv", "tsv", "jsonl", "ndjson", "arrow", "arrows", "feather", "ipc", "orc",
    ]
    private static let compressed: Set = ["gz", "zst", "bz2"]
    /// Words of SQL that data is often named by, of those that the planner refuses as names (`zerrow/plan/names.py`).
    private static let reserved: Set = [
        "all", "case", "create", "end", "from", "full", "group", "in", "join", "left", "limit", "on", "order", "right",
        "select", "set", "table", "true", "false", "union", "update", "using", "values", "when", "where", "window",
        "with",
    ]
    private static let depthMax = 4
    private static let sourcesMax = 200
    private static let leftOut: Set = ["node_modules", "__pycache__"]

    private(set) var sources: [Source] = []
    private var names: Set<String> = []

    /// Looks into a folder and those below it. Files of one table that lie in a folder of their own are one source.
    init(in folder: String) {
        look(into: folder, named: "", depth: 0)
    }

    private mutating func look(into folder: String, named place: String, depth: Int) {
        guard depth <= Self.depthMax, sources.count < Self.sourcesMax else { return }
        let entries = ((try? Files.list(folder)) ?? []).filter { !$0.hasPrefix(".") && !$0.hasPrefix("_") }
        var folders: [String] = []
        var files: [String] = []
        for name in entries {
            let path = folder + "/" + name
            if Files.isFolder(path) {
                if Files.linkTarget(path) == nil, !Self.leftOut.contains(name) { folders.append(name) }
            } else if Self.stem(name) != nil {
                files.append(name)
            }
        }
        let isPartitioned = !folders.isEmpty && folders.allSatisfy { $0.contains("=") }
        if !place.isEmpty, isPartitioned && files.isEmpty || Self.areParts(files) {
            return add(place.split(separator: "/").last.map(String.init) ?? place, path: place)
        }
        for name in files { add(Self.stem(name) ?? name, path: place.isEmpty ? name : place + "/" + name) }
        for name in folders {
            look(into: folder + "/" + name, named: place.isEmpty ? name : place + "/" + name, depth: depth + 1)
        }
    }

    private mutating func add(_ name: String, path: String) {
        let plain = Self.tableName(name)
        var unique = plain
        var number = 2
        while names.contains(unique.lowercased()) {
            unique = "\(plain)_\(number)"
            number += 1
        }
        names.insert(unique.lowercased())
        sources.append(Source(name: unique, path: path))
    }

    /// The name of a data file without its endings; nil for any other file.
    static func stem(_ name: String) -> String? {
        var parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if let last = parts.last, parts.count > 2, compressed.contains(last.lowercased()) { parts.removeLast() }
        guard parts.count > 1, endings.contains(parts[parts.count - 1].lowercased()) else { return nil }
        return parts.dropLast().joined(separator: ".")
    }

    /// Whether files are parts of one table, as writers name them: the names differ in nothing but digits and hexadecimal ids.
    static func areParts(_ names: [String]) -> Bool {
        guard names.count > 1 else { return names.first?.hasPrefix("part-") ?? false }
        return Set(names.map(shape)).count == 1
    }

    /// A name without what numbers it.
    private static func shape(_ name: String) -> String {
        let words = name.split(omittingEmptySubsequences: false) { !$0.isLetter && !$0.isNumber }
        return words.map { word in
            let isNumbering = word.contains(where: \.isNumber) && word.allSatisfy { $0.isHexDigit || $0.isNumber }
            return isNumbering ? "#" : word.filter { !$0.isNumber }
        }.joined(separator: "-")
    }

    /// A name that SQL needs no quotes for.
    static func tableName(_ name: String) -> String {
        var text = ""
        for character in name.lowercased() {
            let isPlain = character.isASCII && (character.isLetter || character.isNumber)
            if isPlain { text.append(character) } else if text.last != "_" { text.append("_") }
        }
        while text.hasSuffix("_") { text.removeLast() }
        while text.hasPrefix("_") { text.removeFirst() }
        guard let first = text.first else { return "data" }
        text = String(text.prefix(60))
        return first.isNumber || reserved.contains(text) ? "t_" + text : text
    }

    /// A project file that names them.
    func projectFile(named name: String) -> String {
        let lines = sources.map { "  \($0.name): \(Self.quoted($0.path))" }
        return """
            # What the keys mean: docs/authoring.md of zerrow.
            project:
              name: \(name)

            # Tables that are there already.
            sources:
            \(lines.joined(separator: "\n"))

            """
    }

    /// A text of YAML.
    private static func quoted(_ text: String) -> String {
        let isPlain = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || (48...57).contains(byte)
                || "._/-".utf8.contains(byte)
        }
        guard !isPlain || text.hasPrefix("-") else { return text }
        let escaped = text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
        return "\"\(escaped)\""
    }

    /// A query to begin with.
    var firstQuery: String {
        guard let first = sources.first else { return "" }
        return
            "-- A model is a query, or a function under @zerrow.model() in a .py file. This one is called first_look.\n"
            + "select * from \(first.name) limit 100\n"
    }
}
