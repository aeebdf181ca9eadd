/// The table at the end of a run: each model's result, its cost, and how its bytes travelled.
public struct Summary: Equatable, Sendable {
    /// The models, in the order of the table.
    public var results: [ModelResult]
    /// The whole run's time.
    public var time: Duration

    /// A summary of a run.
    public init(results: [ModelResult], time: Duration) {
        self.results = results
        self.time = time
    }

    /// The table and a sentence below it, without a line break at the end.
    ///
    /// Where it is too wide for the columns, less is shown: first how each model's bytes travelled becomes a few words;
    /// then memory goes, or these words; then bytes; names are cut in the end.
    public func text(columns: Int, style: Style) -> String {
        let width = max(20, columns)
        let tables = Detail.allCases.lazy.map { Table(self, detail: $0, style: style) }
        let table = tables.first { $0.columns <= width } ?? tables.last!
        var lines = results.isEmpty ? [] : table.lines(columns: width)
        lines += sentence(style).wrapped(width)
        return lines.joined(separator: "\n")
    }

    /// How much a table shows, the most first.
    enum Detail: Int, CaseIterable {
        case counts, words, wordsWithoutMemory, memory, bytes, rows
    }

    private var total: ModelResult.Travel {
        results.reduce(ModelResult.Travel()) { $0 + ($1.travel ?? ModelResult.Travel()) }
    }

    // MARK: - the sentence

    private func sentence(_ style: Style) -> String {
        let kinds: [(ModelResult.Status, String)] = [
            (.success, "succeeded"), (.cached, "from the cache"), (.unneeded, "not needed"), (.failed, "failed"),
            (.cancelled, "stopped"), (.skipped, "not run"),
        ]
        let counts = kinds.map { kind in (results.filter { $0.status == kind.0 }.count, kind.1) }
        var text = "\(Quantity.models(results.count)) in \(Quantity.time(time))"
        if counts[0].0 < results.count {
            text += ": " + counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
        }
        let doubtful = results.filter(\.isDoubtful).count
        if doubtful > 0 {
            text += counts[0].0 < results.count ? ", \(doubtful) with warnings" : ": \(doubtful) with warnings"
        }
        let streamedBytes = results.reduce(0) { ModelResult.Travel.sum($0, $1.streamedBytes) }
        if streamedBytes > 0 { text += ". \(Quantity.bytes(streamedBytes)) of source files streamed" }
        let total = total
        text += "."
        if total.totalBytes > 0 {
            text +=
                " \(Quantity.bytes(total.totalBytes)) of tables: \(Self.words(total)), "
                + (total.copiedBytes == 0 ? "nothing copied." : "\(Quantity.bytes(total.copiedBytes)) copied.")
        }
        let spilled = results.reduce(0) { ModelResult.Travel.sum($0, $1.spilledBytes ?? 0) }
        return spilled > 0 ? text + " SQL engines spilled \(Quantity.bytes(spilled))." : text
    }

    /// All ways but copying: `71% reshared, 29% born shared, 12.0 KiB packed`. If there is little room, packed bytes are left out
    /// if they are less than a hundredth.
    private static func words(_ travel: ModelResult.Travel, isShort: Bool = false) -> String {
        let whole = travel.totalBytes
        let shares: [(UInt64, String)] = [
            (travel.resharedBytes, "reshared"), (travel.bornSharedBytes, "born shared"),
            (travel.deanonymizedBytes, "deanonymized"),
        ]
        var words = shares.filter { $0.0 > 0 }.map { "\(Quantity.share($0.0, of: whole)) \($0.1)" }
        if travel.packedBytes > (isShort && !words.isEmpty ? whole / 100 : 0) {
            words.append("\(Quantity.bytes(travel.packedBytes)) packed")
        }
        return words.isEmpty ? "none shared" : words.joined(separator: ", ")
    }

    // MARK: - the table

    /// The cells of a table that shows so much.
    private struct Table {
        struct Cell {
            var text: String
            var tone: Style.Tone?

            init(_ text: String, _ tone: Style.Tone? = nil) {
                self.text = text
                self.tone = tone
            }
        }

        let style: Style
        let header: [Cell]
        let rows: [[Cell]]
        let total: [Cell]
        /// Columns of each of the table's columns.
        let widths: [Int]
        /// Whether the last column is text, which stands on the left.
        let endsInWords: Bool

        static let nameColumnsMax = 40
        static let gap = 2

        var columns: Int { widths.reduce(0, +) + Self.gap * (widths.count - 1) }

        init(_ summary: Summary, detail: Detail, style: Style) {
            let hasDeanonymized = summary.total.deanonymizedBytes > 0
            var titles = ["model", "rows", "bytes", "time", "memory"]
            switch detail {
            case .counts:
                titles +=
                    ["reshared", "born shared"] + (hasDeanonymized ? ["deanonymized"] : []) + ["packed", "copied"]
            case .words: titles.append("how the bytes travelled")
            case .wordsWithoutMemory: titles[4] = "how the bytes travelled"
            case .memory: break
            case .bytes: titles.removeLast()
            case .rows: titles = ["model", "rows", "time"]
            }
            func cells(_ all: [String: Cell]) -> [Cell] { titles.map { all[$0] ?? Cell("") } }
            self.style = style
            let header = titles.map { Cell($0, .strong) }
            let rows = summary.results.map { cells(Self.cells(of: $0)) }
            var sums = Self.cells(of: summary.total)
            sums["model"] = Cell("total", .strong)
            // The sentence below the table says it.
            sums["how the bytes travelled"] = nil
            let total = cells(sums)
            self.header = header
            self.rows = rows
            self.total = total
            endsInWords = detail == .words || detail == .wordsWithoutMemory
            widths = titles.indices.map { column in
                let widest = ([header, total] + rows).reduce(0) { max($0, $1[column].text.columns) }
                return column == 0 ? min(widest, Self.nameColumnsMax) : widest
            }
        }

        private static func cells(of result: ModelResult) -> [String: Cell] {
            var cells = result.travel.map(cells) ?? [:]
            cells["model"] = Cell(result.name.withoutControls(keepingColours: false))
            switch result.status {
            case .success, .cached: cells["rows"] = Cell(result.rows.map(Quantity.count) ?? "")
            case .unneeded: cells["rows"] = Cell("not needed", .quiet)
            case .failed: cells["rows"] = Cell("failed", .bad)
            case .cancelled: cells["rows"] = Cell("stopped", .caution)
            case .skipped: cells["rows"] = Cell("not run", .quiet)
            }
            cells["time"] =
                result.status == .cached ? Cell("cached", .quiet) : Cell(result.time.map(Quantity.time) ?? "")
            cells["memory"] = Cell(result.memoryBytesMax.map(Quantity.bytes) ?? "")
            return cells
        }

        private static func cells(of travel: ModelResult.Travel) -> [String: Cell] {
            func bytes(_ bytes: UInt64, _ tone: Style.Tone? = nil) -> Cell {
                bytes == 0 ? Cell("-", .quiet) : Cell(Quantity.bytes(bytes), tone)
            }
            var words = Summary.words(travel, isShort: true)
            if travel.copiedBytes > 0 {
                words += ", \(Quantity.bytes(travel.copiedBytes)) copied"
            }
            return [
                "bytes": Cell(Quantity.bytes(travel.totalBytes)),
                "reshared": bytes(travel.resharedBytes), "born shared": bytes(travel.bornSharedBytes),
                "deanonymized": bytes(travel.deanonymizedBytes), "packed": bytes(travel.packedBytes),
                "copied": bytes(travel.copiedBytes, .caution),
                "how the bytes travelled": travel.totalBytes == 0
                    ? Cell("-", .quiet) : Cell(words, travel.copiedBytes > 0 ? .caution : nil),
            ]
        }

        func lines(columns width: Int) -> [String] {
            var widths = widths
            // Only the last resort is too wide, and then names give way.
            widths[0] = max(4, min(widths[0], widths[0] - (columns - width)))
            let rule = String(
                repeating: style.rule, count: min(width, widths.reduce(0, +) + Self.gap * (widths.count - 1)))
            return [line(header, widths), style.paint(rule, .quiet)] + rows.map { line($0, widths) }
                + [style.paint(rule, .quiet), line(total, widths)]
        }

        private func line(_ cells: [Cell], _ widths: [Int]) -> String {
            var text = ""
            for (column, cell) in cells.enumerated() {
                let isText = column == 0 || (endsInWords && column == cells.count - 1)
                let fitted = cell.text.fitted(widths[column], mark: style.ellipsis)
                let isLast = column == cells.count - 1
                let padded =
                    isText ? (isLast ? fitted : fitted.leading(widths[column])) : fitted.trailing(widths[column])
                text += column > 0 ? String(repeating: " ", count: Self.gap) : ""
                text += cell.tone.map { style.paint(padded, $0) } ?? padded
            }
            while text.last == " " {
                text.removeLast()
            }
            return text
        }
    }
}
