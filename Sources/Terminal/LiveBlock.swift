/// Lines at the bottom of a terminal that are redrawn in place, while other lines are printed above them.
///
/// It returns what is to be written, in order, and remembers what it has drawn. Nobody else may write to the terminal
/// between, or the place of the lines is lost. A block leaves the cursor at the start of the line below it.
public struct LiveBlock: Sendable {
    /// The columns that each drawn line takes.
    private var drawn: [Int] = []

    /// A block with nothing drawn.
    public init() {}

    /// Draws lines in place of those drawn before. Lines with escape sequences must be given with their columns.
    ///
    /// Terminals fold lines that were drawn before they became narrower. That is reckoned with: `columns` is the width
    /// they have now. At most `rows - 1` lines are drawn, the last ones.
    public mutating func draw(_ lines: [Line], columns: Int, rows: Int) -> String {
        let lines = lines.suffix(max(0, rows - 1))
        var text = home(columns: columns)
        for line in lines {
            // Drawn over what is there, not after it is erased, so that it doesn't flicker.
            text += line.text + "\u{1b}[K\n"
        }
        text += "\u{1b}[J"
        drawn = lines.map(\.columns)
        return text
    }

    /// Prints lines for good, above the block, which has to be drawn again.
    public mutating func print(_ lines: [String], columns: Int) -> String {
        guard !drawn.isEmpty else {
            return lines.map { $0 + "\n" }.joined()
        }
        let text = home(columns: columns) + "\u{1b}[J" + lines.map { $0 + "\n" }.joined()
        drawn = []
        return text
    }

    /// Removes the block.
    public mutating func erase(columns: Int) -> String {
        print([], columns: columns)
    }

    /// Moves the cursor to where the block begins.
    private func home(columns: Int) -> String {
        let rows = drawn.reduce(0) { $0 + max(1, ($1 + columns - 1) / max(1, columns)) }
        return rows == 0 ? "" : "\r\u{1b}[\(rows)A"
    }

    /// A line to draw.
    public struct Line: Equatable, Sendable {
        /// The text, maybe with colours.
        public var text: String
        /// The columns it takes.
        public var columns: Int

        /// A line whose text takes so many columns.
        public init(_ text: String, columns: Int) {
            self.text = text
            self.columns = columns
        }
    }
}
