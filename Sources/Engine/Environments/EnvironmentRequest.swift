import System

/// The Python and the packages that models ask for, as the planner says it. The planner has read a stranger's project: each line is checked
/// here to be a requirement and nothing else before uv sees it.
struct EnvironmentRequest: Sendable, Equatable {
    /// Bytes of one line.
    private static let lineBytesMax = 1000
    /// Lines of a kind.
    private static let linesMax = 2000

    /// A version such as `3.12` or `3.12.1`; empty: the one of the default environment.
    let python: String
    /// The packages, a line each as pip takes them.
    let requirements: [String]
    /// Further bounds of packages that are chosen anyway, in the same form.
    let constraints: [String]
    /// Hashes of files, `sha256:…`, that a package may have and no others, by its name.
    let hashes: [String: [String]]

    /// One of a question; nil for what no planner of ours says.
    init?(_ value: JSONValue) {
        guard let python = value["python"]?.string, let requirements = Self.lines(value["requirements"]),
            let constraints = Self.lines(value["constraints"]), python.isEmpty || Self.isVersion(python),
            case .object(let members)? = value["hashes"]
        else { return nil }
        var hashes: [String: [String]] = [:]
        for (name, list) in members {
            guard let texts = list.array?.compactMap(\.string), texts.allSatisfy(Self.isHash) else { return nil }
            hashes[name] = texts
        }
        self.python = python
        self.requirements = requirements
        self.constraints = constraints
        self.hashes = hashes
    }

    /// A hash that stands for it.
    var key: String {
        let lists = [[python], requirements, constraints, hashes.keys.sorted().flatMap { [$0] + hashes[$0]! }]
        let value = JSONValue.array(lists.map { .array($0.map { .string($0) }) })
        return String(SHA256.text(of: value.utf8).prefix(32))
    }

    /// The request as people read it.
    var text: String {
        let shown = requirements.prefix(6).joined(separator: ", ")
        let more = requirements.count > 6 ? " and \(requirements.count - 6) more" : ""
        return "Python\(python.isEmpty ? "" : " " + python): \(shown)\(more)"
    }

    private static func lines(_ value: JSONValue?) -> [String]? {
        guard let list = value?.array, list.count <= linesMax else { return nil }
        let texts = list.compactMap(\.string)
        return texts.count == list.count && texts.allSatisfy(isRequirement) ? texts : nil
    }

    /// Whether a line can be nothing but a name, extras, versions and a marker: no option, no path or address, no variable, no second line.
    static func isRequirement(_ line: String) -> Bool {
        let bytes = Array(line.utf8)
        guard let first = bytes.first, bytes.count <= lineBytesMax, isLetterOrDigit(first) else { return false }
        let others = Array("._-[], <>=!~*+;()'\"".utf8)
        // A space and a hyphen begin an option of pip's.
        return !line.contains(" -") && bytes.allSatisfy { isLetterOrDigit($0) || others.contains($0) }
    }

    private static func isVersion(_ text: String) -> Bool {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        return (1...3).contains(parts.count)
            && parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
    }

    private static func isHash(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 2 && text.utf8.count <= 200 && parts.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(isLetterOrDigit) }
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte | 0x20)
    }
}
