/// How many columns text takes on a terminal, and text that fits.
extension String {
    /// Columns on a terminal; the text must have no escape sequences and no line breaks.
    public var columns: Int { reduce(0) { $0 + $1.columns } }

    /// The text, cut so that it takes at most so many columns, with a mark where something is missing.
    public func fitted(_ columns: Int, mark: String = "…") -> String {
        guard self.columns > columns else {
            return self
        }
        guard columns > mark.columns else {
            return String(mark.prefix(max(0, columns)))
        }
        var result = ""
        var room = columns - mark.columns
        for character in self {
            room -= character.columns
            if room < 0 {
                break
            }
            result.append(character)
        }
        return result + mark
    }

    /// The text with spaces after it, so that it takes at least so many columns.
    public func leading(_ columns: Int) -> String {
        self + String(repeating: " ", count: max(0, columns - self.columns))
    }

    /// The text with spaces before it, so that it takes at least so many columns.
    public func trailing(_ columns: Int) -> String {
        String(repeating: " ", count: max(0, columns - self.columns)) + self
    }

    /// The words, put on lines of at most so many columns; a longer word has a line of its own.
    public func wrapped(_ columns: Int) -> [String] {
        var lines: [String] = []
        for word in split(separator: " ") {
            if let last = lines.last, last.columns + 1 + String(word).columns <= columns {
                lines[lines.count - 1] += " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    /// The text without anything that moves the cursor or reorders what follows. Tabs become spaces; colours (SGR
    /// sequences) stay if they are wanted, and are then ended at the end.
    public func withoutControls(keepingColours: Bool) -> String {
        var result = ""
        var isColoured = false
        var rest = unicodeScalars[...]
        while let scalar = rest.popFirst() {
            if scalar == "\u{1b}" || scalar == "\u{9b}" {
                let sequence = Self.sequence(after: scalar, &rest)
                if keepingColours, let sequence, Self.isColour(sequence) {
                    result += "\u{1b}[" + sequence
                    isColoured = true
                }
            } else if scalar == "\t" {
                result += "    "
            } else if !scalar.movesText {
                result.unicodeScalars.append(scalar)
            }
        }
        return isColoured ? result + "\u{1b}[0m" : result
    }

    /// The same for each line of a text of several.
    public func linesWithoutControls(keepingColours: Bool) -> String {
        split(separator: "\n", omittingEmptySubsequences: false)
            .map { String($0).withoutControls(keepingColours: keepingColours) }.joined(separator: "\n")
    }

    /// The text with each line but the first beginning with a space: all are moved in by as much, so that a traceback keeps its form, unless
    /// they begin so already.
    public var withRestIndented: String {
        let lines = split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.dropFirst().contains(where: { !$0.isEmpty && $0.first != " " }) else { return self }
        return (lines.prefix(1) + lines.dropFirst().map { $0.isEmpty ? $0 : "  " + $0 }).joined(separator: "\n")
    }

    /// Takes a whole escape sequence off the text, and returns what follows the introducer of a control sequence.
    private static func sequence(after start: Unicode.Scalar, _ rest: inout Substring.UnicodeScalarView) -> String? {
        if start == "\u{1b}" {
            guard let kind = rest.first else {
                return nil
            }
            if "]PX^_".unicodeScalars.contains(kind) {
                skipString(&rest)
                return nil
            }
            rest.removeFirst()
            if kind != "[" {
                // `ESC ( B` and the like have bytes between, from space to slash.
                if (0x20...0x2f).contains(kind.value) {
                    _ = rest.popFirst()
                }
                return nil
            }
        }
        var sequence = ""
        while let next = rest.first, (0x20...0x7e).contains(next.value) {
            rest.removeFirst()
            sequence.unicodeScalars.append(next)
            if next.value >= 0x40 {
                return sequence
            }
        }
        return nil
    }

    /// Skips a control string (a window title, a link) up to its end; one that has no end is only introduced.
    private static func skipString(_ rest: inout Substring.UnicodeScalarView) {
        let whole = rest.dropFirst()
        rest = whole
        while let next = rest.popFirst() {
            if next == "\u{7}" || next == "\u{9c}" {
                return
            }
            if next == "\u{1b}", rest.first == "\\" {
                rest.removeFirst()
                return
            }
        }
        rest = whole
    }

    private static func isColour(_ sequence: String) -> Bool {
        sequence.last == "m" && sequence.dropLast().allSatisfy { $0.isASCII && ($0.isNumber || $0 == ";" || $0 == ":") }
    }
}

extension Character {
    /// Columns on a terminal: 0, 1 or 2.
    var columns: Int {
        guard let first = unicodeScalars.first else {
            return 0
        }
        if first.value < 0x7f, unicodeScalars.count == 1 {
            return first.value < 0x20 ? 0 : 1
        }
        // A picture is wide if it is drawn as one: by itself, by a selector, or as a pair of letters for a flag.
        if first.properties.isEmojiPresentation || unicodeScalars.contains("\u{fe0f}") {
            return 2
        }
        return unicodeScalars.reduce(0) { max($0, $1.columns) }
    }
}

extension Unicode.Scalar {
    fileprivate var columns: Int {
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format, .control: 0
        default: Self.wide.contains { $0.contains(value) } ? 2 : 1
        }
    }

    /// A control character, or one that sets the direction of text.
    fileprivate var movesText: Bool {
        properties.generalCategory == .control || (0x202a...0x202e).contains(value) || (0x2066...0x2069).contains(value)
            || properties.generalCategory == .lineSeparator || properties.generalCategory == .paragraphSeparator
    }

    /// Scripts that take two columns: the blocks of East_Asian_Width W and F (Unicode Standard Annex 11).
    private static let wide: [ClosedRange<UInt32>] = [
        0x1100...0x115f, 0x2329...0x232a, 0x2e80...0x303e, 0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff,
        0xa000...0xa4cf, 0xa960...0xa97f, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe10...0xfe19, 0xfe30...0xfe6f,
        0xff00...0xff60, 0xffe0...0xffe6, 0x16fe0...0x18aff, 0x1b000...0x1b2ff, 0x1f300...0x1f64f, 0x1f900...0x1f9ff,
        0x20000...0x3fffd,
    ]
}
