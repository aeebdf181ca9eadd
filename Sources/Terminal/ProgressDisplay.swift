/// The progress that is shown while a run lasts. It returns text to be written to the terminal, or to whatever is in its place.
///
/// On a terminal, models that run are shown at the bottom, redrawn in place; finished models, and lines that user code prints,
/// scroll by above. Elsewhere each event is one line.
public struct ProgressDisplay: Sendable {
    /// Whether lines can be redrawn.
    public let isLive: Bool
    /// Colours and characters.
    public let style: Style
    /// Columns for names: those of the longest name, within bounds.
    private var nameColumns = 0
    private var block = LiveBlock()
    private var latest: RunSnapshot?
    private var drawnAt: Duration?
    private var columns = 80
    private var rows = 24

    /// Longer names are not aligned with.
    static let nameColumnsMax = 32

    /// A display that has shown nothing.
    public init(isLive: Bool, style: Style) {
        self.isLive = isLive
        self.style = style
    }

    /// The models' names, which decide how lines are aligned. Nothing is written.
    public mutating func prepare(names: [String]) {
        nameColumns = names.reduce(0) { max($0, min(clean($1).columns, Self.nameColumnsMax)) }
    }

    /// Shows the moment, if the last one was drawn a tenth of a second before or has scrolled off. Call it as often as you like.
    public mutating func update(_ snapshot: RunSnapshot, columns: Int, rows: Int) -> String {
        guard isLive else {
            return ""
        }
        let isResized = self.columns != columns || self.rows != rows
        self.columns = columns
        self.rows = rows
        latest = snapshot
        if let drawnAt, !isResized, snapshot.elapsed - drawnAt < .milliseconds(100), snapshot.elapsed >= drawnAt {
            return ""
        }
        return draw()
    }

    /// A model's worker has been asked for. On a terminal the next update shows it.
    public mutating func started(_ name: String) -> String {
        isLive ? "" : "  \(aligned(name))  started\n"
    }

    /// A model has ended.
    public mutating func ended(_ result: ModelResult) -> String {
        print([line(of: result)])
    }

    /// A line that a model's code printed. Nothing in it can move the cursor.
    public mutating func printed(_ name: String, _ line: String) -> String {
        let text = line.withoutControls(keepingColours: style.isColoured)
        return print([style.paint("\(aligned(name)) \(style.bar) ", .quiet) + text])
    }

    /// Prints text of our own above the live lines; it may have several lines, and quote what a model said.
    public mutating func log(_ text: String) -> String {
        print(
            text.linesWithoutControls(keepingColours: style.isColoured).split(
                separator: "\n", omittingEmptySubsequences: false
            ).map(String.init))
    }

    /// Takes the live lines away. What is printed next stands where they were.
    public mutating func finish() -> String {
        latest = nil
        drawnAt = nil
        return block.erase(columns: columns)
    }

    // MARK: - lines

    private mutating func print(_ lines: [String]) -> String {
        let text = block.print(lines, columns: columns)
        return isLive && latest != nil ? text + draw() : text
    }

    private mutating func draw() -> String {
        guard let latest else {
            return ""
        }
        drawnAt = latest.elapsed
        return block.draw(lines(of: latest), columns: columns, rows: rows)
    }

    /// The live lines: one per running model as far as there is room, and how far the run is.
    func lines(of snapshot: RunSnapshot) -> [LiveBlock.Line] {
        // One column stays free, as some terminals wrap when the last one is filled.
        let width = max(1, columns - 1)
        let room = max(0, min(rows - 3, 16))
        var lines: [LiveBlock.Line] = []
        let spinner = style.spinner(at: snapshot.elapsed)
        for model in snapshot.running.prefix(snapshot.running.count > room ? max(0, room - 1) : room) {
            var text = "\(aligned(model.name))  \(Quantity.time(model.elapsed).trailing(6))"
            if let memory = model.memoryBytes {
                text += "  " + Quantity.bytes(memory).trailing(8)
            }
            lines.append(line(spinner, .accent, " " + text, width))
        }
        if lines.count < snapshot.running.count {
            let hidden = snapshot.running.count - lines.count
            lines.append(line("", .quiet, "  \(style.ellipsis) and \(hidden) more", width))
        }
        lines.append(statusLine(of: snapshot, width))
        return lines
    }

    private func statusLine(of snapshot: RunSnapshot, _ width: Int) -> LiveBlock.Line {
        var parts = ["\(snapshot.endedCount)/\(Quantity.models(snapshot.modelCount))"]
        if !snapshot.running.isEmpty {
            parts.append("\(snapshot.running.count) running")
        } else if let activity = snapshot.activity {
            parts.append(clean(activity))
        }
        if snapshot.failedCount > 0 {
            parts.append("\(snapshot.failedCount) failed")
        }
        if let memory = snapshot.memoryBytes {
            parts.append("memory \(Quantity.bytes(memory))")
        }
        parts.append(Quantity.time(snapshot.elapsed))
        let text = parts.joined(separator: style.separator)
        let barColumns = min(30, width - text.columns - 13)
        guard barColumns >= 8, snapshot.modelCount > 0 else {
            return line(" Running", .strong, " " + text, width)
        }
        let filled = barColumns * min(snapshot.endedCount, snapshot.modelCount) / snapshot.modelCount
        var bar = String(repeating: "=", count: filled)
        if filled < barColumns {
            bar += ">" + String(repeating: " ", count: barColumns - filled - 1)
        }
        return line(" Running", .strong, " [\(bar)] \(text)", width)
    }

    private func line(_ head: String, _ tone: Style.Tone, _ rest: String, _ width: Int) -> LiveBlock.Line {
        let head = head.fitted(width, mark: style.ellipsis)
        let rest = rest.fitted(width - head.columns, mark: style.ellipsis)
        return LiveBlock.Line(style.paint(head, tone) + rest, columns: head.columns + rest.columns)
    }

    /// The line that stays of a model: `✓ lineitem   6,001,215 rows  1.10 GiB  840ms`.
    private func line(of result: ModelResult) -> String {
        let name = aligned(result.name)
        let time = result.time.map(Quantity.time)
        switch result.status {
        case .success, .cached:
            var parts: [String] = []
            if let rows = result.rows {
                parts.append((Quantity.count(rows) + (rows == 1 ? " row " : " rows")).trailing(16))
            }
            if let travel = result.travel {
                parts.append(Quantity.bytes(travel.totalBytes).trailing(8))
            }
            parts.append(result.status == .cached ? "from the cache" : (time ?? "").trailing(6))
            let mark = result.isDoubtful ? style.paint("!", .caution) : style.paint(style.success, .good)
            return "\(mark) \(name)  \(parts.joined(separator: "  "))"
        case .failed:
            let text = time.map { "failed after \($0)" } ?? "failed"
            return "\(style.paint(style.failure, .bad)) \(name)  \(style.paint(text, .bad))"
        case .cancelled:
            let text = time.map { "stopped after \($0)" } ?? "not run"
            return "\(style.paint("-", .caution)) \(name)  \(text)"
        case .unneeded:
            return "\(style.paint("-", .quiet)) \(name)  not needed"
        case .skipped:
            return "\(style.paint("-", .caution)) \(name)  " + (result.reason.map(clean) ?? "not run")
        }
    }

    private func aligned(_ name: String) -> String {
        clean(name).leading(nameColumns)
    }

    private func clean(_ text: String) -> String {
        text.withoutControls(keepingColours: false)
    }
}
