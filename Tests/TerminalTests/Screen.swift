/// A terminal: the lines on its screen, and those that have scrolled off above, after everything that was written to it.
///
/// It knows what the display uses, and refuses the rest.
struct Screen {
    private(set) var lines: [[Character]] = [[]]
    /// Lines that a fold ended, not a line break.
    private var isFolded: [Bool] = [false]
    private var row = 0
    private var column = 0
    private(set) var width: Int
    let height: Int
    /// The sequences written that a terminal of this size can't do, or that aren't known here.
    private(set) var faults: [String] = []

    init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// All lines as text, without spaces at their ends; the cursor's own empty line at the end is left out.
    var text: [String] {
        var texts = lines.map { line -> String in
            var line = line
            while line.last == " " { line.removeLast() }
            return String(line)
        }
        while texts.last == "" { texts.removeLast() }
        return texts
    }

    mutating func write(_ text: String) {
        var rest = Array(text)[...]
        while let character = rest.popFirst() {
            switch character {
            case "\n", "\r\n": newLine(isFold: false)
            case "\r": column = 0
            case "\u{1b}": control(&rest)
            default: put(character)
            }
        }
    }

    /// Folds the lines anew, as terminals do. The cursor stays on its line.
    mutating func resize(width: Int) {
        var whole: [[Character]] = []
        for (index, line) in lines.enumerated() {
            if index > 0, isFolded[index - 1] {
                whole[whole.count - 1] += line
            } else {
                whole.append(line)
            }
        }
        precondition(column == 0 && row == lines.count - 1, "the cursor is expected below all else")
        self.width = width
        lines = []
        isFolded = []
        for line in whole {
            var rest = line[...]
            repeat {
                lines.append(Array(rest.prefix(width)))
                rest = rest.dropFirst(width)
                isFolded.append(!rest.isEmpty)
            } while !rest.isEmpty
        }
        row = lines.count - 1
    }

    private mutating func control(_ rest: inout ArraySlice<Character>) {
        guard rest.popFirst() == "[" else {
            return faults.append("an escape that is no control sequence")
        }
        var parameter = ""
        while let next = rest.popFirst() {
            if next.isNumber || next == ";" {
                parameter.append(next)
                continue
            }
            switch next {
            case "A":
                let count = Int(parameter) ?? 1
                if count > min(row, height - 1) { faults.append("moves up \(count) at row \(row)") }
                row = max(0, row - count)
            case "K": lines[row].removeLast(max(0, lines[row].count - column))
            case "J":
                lines[row].removeLast(max(0, lines[row].count - column))
                lines.removeLast(lines.count - row - 1)
                isFolded.removeLast(isFolded.count - row)
                isFolded.append(false)
            case "m": break
            default: faults.append("an unknown sequence \(parameter)\(next)")
            }
            return
        }
    }

    private mutating func put(_ character: Character) {
        if column == width {
            newLine(isFold: true)
        }
        while lines[row].count < column { lines[row].append(" ") }
        if column < lines[row].count {
            lines[row][column] = character
        } else {
            lines[row].append(character)
        }
        column += 1
    }

    private mutating func newLine(isFold: Bool) {
        isFolded[row] = isFold
        row += 1
        column = 0
        if row == lines.count {
            lines.append([])
            isFolded.append(false)
        }
    }
}
