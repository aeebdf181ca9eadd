import ArgumentParser

/// The words of a command line, as the parser takes them: scripts that were written for Bauplan use spellings that it has no form for.
///
/// - Options with a word that became flags: `--strict off`, `--cache on`, `-t off`.
/// - A statement that begins with a comment, `'-- days' …`, which looks like an option.
/// - Options of the whole command, before or after the verb: `-P NAME`, `--client-timeout N`, `-v` say nothing here; `-O json` is the verb's.
struct CommandLineArguments: Equatable {
    /// The words for the parser.
    private(set) var words: [String] = []
    /// What the user should know of those that say nothing.
    private(set) var notes: [String] = []

    /// The flags that options with `on` or `off` became, by the verbs that have them.
    private static let switches: [String: (on: String?, off: String?)] = [
        "--strict": ("--strict", "--no-strict"), "--cache": (nil, "--no-cache"),
        "--transaction": (nil, "--no-transaction"), "-t": (nil, "--no-transaction"),
    ]

    /// Takes the words behind the command's own name.
    ///
    /// - Throws: `ValidationError` for an option that says nothing here, and is wrong all the same.
    init(_ given: [String]) throws {
        var rest = given[...]
        // Options of the whole command that stand before the verb, which takes them.
        var early: [String] = []
        while let word = rest.first, word.hasPrefix("-"), word != "--" {
            if try takeGlobal(&rest) { continue }
            guard let count = Self.outputCount(rest) else { break }
            early += rest.prefix(count)
            rest = rest.dropFirst(count)
        }
        guard let verb = rest.first, !verb.hasPrefix("-") else {
            words = early + rest
            return
        }
        words = [verb] + early
        rest = rest.dropFirst()
        var statements: [String] = []
        while let word = rest.first {
            if word == "--" { break }
            if try takeGlobal(&rest) { continue }
            rest = rest.dropFirst()
            if Self.isComment(word), verb == "query" {
                statements.append(word)
            } else if verb == "run" || verb == "query", let (flag, isPair) = Self.flag(word, rest.first) {
                if isPair { rest = rest.dropFirst() }
                words += flag.map { [$0] } ?? []
            } else {
                words.append(word)
            }
        }
        if statements.isEmpty { words += rest } else { words += ["--"] + statements + rest.dropFirst() }
    }

    /// Whether a word is a statement that begins with a comment: the name of an option has no space.
    private static func isComment(_ word: String) -> Bool {
        word.hasPrefix("--") && word.dropFirst(2).prefix { $0 != "=" }.contains { $0.isWhitespace }
    }

    /// The flag for an option with `on` or `off`, nil where that is the default, and whether the word is the next one.
    private static func flag(_ word: String, _ next: String?) -> (flag: String?, isPair: Bool)? {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let flags = switches[parts[0]] else { return nil }
        let value = parts.count > 1 ? parts[1] : next
        switch value {
        case "on": return (flags.on, parts.count == 1)
        case "off": return (flags.off, parts.count == 1)
        default: return nil
        }
    }

    /// How many words `-O json` are here; nil for something else.
    private static func outputCount(_ words: ArraySlice<String>) -> Int? {
        guard let word = words.first else { return nil }
        if word == "-O" || word == "--output" { return 2 }
        return word.hasPrefix("--output=") || word.hasPrefix("-O=") ? 1 : nil
    }

    /// Takes an option of the whole command that says nothing here; false if there is none.
    private mutating func takeGlobal(_ rest: inout ArraySlice<String>) throws -> Bool {
        guard let word = rest.first else { return false }
        if word == "-v" || word == "--verbose" {
            rest = rest.dropFirst()
            note("\(word) says nothing here")
            return true
        }
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard ["-P", "--profile", "--client-timeout"].contains(parts[0]) else { return false }
        rest = rest.dropFirst()
        guard let value = parts.count > 1 ? parts[1] : rest.first, !value.isEmpty else {
            throw ValidationError("Missing value for '\(parts[0])'")
        }
        if parts.count == 1 { rest = rest.dropFirst() }
        if parts[0] == "--client-timeout" {
            guard let seconds = Double(value), seconds > 0 else {
                throw ValidationError("--client-timeout must be a positive number of seconds")
            }
            note("--client-timeout says nothing here: a run takes the time it takes, see --timeout")
        } else {
            note("\(parts[0]) says nothing here: there are no profiles")
        }
        return true
    }

    private mutating func note(_ text: String) { notes.append("note: " + text) }
}
