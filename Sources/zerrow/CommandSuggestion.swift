import ArgumentParser

/// What somebody may have meant by a command that there is not.
enum CommandSuggestion {
    /// Throws `ValidationError` for a first word, or a second one of a command with further ones, that is no command but looks like one.
    static func check(_ words: [String], of command: any ParsableCommand.Type) throws {
        guard let word = words.first, !word.hasPrefix("-"), word != "help" else { return }
        let commands = command.configuration.subcommands
        guard !commands.isEmpty else { return }
        if let known = commands.first(where: { names(of: $0).contains(word) }) {
            return try check(Array(words.dropFirst()), of: known)
        }
        let shown = commands.filter { $0.configuration.shouldDisplay }.flatMap { names(of: $0) }
        let nearest = shown.min { distance(word, $0) < distance(word, $1) }
        guard let nearest, distance(word, nearest) <= max(1, word.count / 3) else {
            throw ValidationError("there is no command '\(word)'; there are: \(shown.joined(separator: ", "))")
        }
        throw ValidationError("there is no command '\(word)'. Did you mean '\(nearest)'?")
    }

    private static func names(of command: any ParsableCommand.Type) -> [String] {
        [command.configuration.commandName ?? "\(command)".lowercased()] + command.configuration.aliases
    }

    /// How many letters have to be changed, put in, taken out, or swapped with the next (optimal string alignment).
    static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.lowercased()), b = Array(b)
        var rows = [Array(0...b.count)]
        for i in 1...max(1, a.count) where !a.isEmpty {
            var row = [i] + [Int](repeating: 0, count: b.count)
            for j in 1...max(1, b.count) where !b.isEmpty {
                let cost = a[i - 1] == b[j - 1] ? 0 : 1
                row[j] = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + cost)
                if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
                    row[j] = min(row[j], rows[i - 2][j - 2] + 1)
                }
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}
