/// Makes lines of the bytes that a process prints, as a terminal would show them when they have come to rest.
///
/// A line ends with a line feed. A carriage return sets back to the line's beginning, as progress bars do: what stands there is
/// overwritten by what comes next, so most of it is never a line of its own, only now and then one, so that progress is seen. The beginning of a
/// line that isn't ended is given out when nothing has come for a moment, and its rest then is a line of its own. Nothing is lost that
/// isn't overwritten. A line longer than `Limit.lineBytesMax` is cut into several.
struct LineSplitter {
    /// How long a line may wait for its end, and how long after each other overwritten lines are given out, in nanoseconds.
    static let momentNanoseconds: UInt64 = 1_000_000_000

    private static let (lineFeed, carriageReturn) = (UInt8(ascii: "\n"), UInt8(ascii: "\r"))

    /// The bytes that were added and not given out.
    private var rest: [UInt8] = []
    /// What a carriage return ended last and nobody was given; nil where something has overwritten it.
    private var overwritten: String?
    /// Whether the beginning of the present line was given out.
    private var isContinued = false
    /// When bytes came last.
    private var addedAt: UInt64 = 0
    /// When an overwritten line was given out last.
    private var shownAt: UInt64?
    /// Whether there are lines that weren't given out yet.
    private(set) var hasMore = false

    /// Adds bytes that came at a moment of the monotonic clock.
    mutating func add(_ bytes: ArraySlice<UInt8>, at now: UInt64) {
        rest += bytes
        addedAt = now
        noteMore()
    }

    /// The next lines, without their ends; no more than `Limit.linesPerTurn`.
    mutating func lines(_ now: UInt64) -> [String] {
        var lines: [String] = []
        var start = rest.startIndex
        while lines.count < Limit.linesPerTurn {
            let end = rest[start...].firstIndex { $0 == Self.lineFeed || $0 == Self.carriageReturn }
            if (end ?? rest.endIndex) - start > Limit.lineBytesMax {
                lines.append(Self.text(rest[start..<(start + Limit.lineBytesMax)]))
                start += Limit.lineBytesMax
                (overwritten, isContinued) = (nil, true)
                continue
            }
            guard let end else { break }
            let next = end + 1
            if rest[end] == Self.lineFeed {
                endLine(rest[start..<end], &lines)
                start = next
            } else if next == rest.endIndex {
                // A line feed may follow.
                break
            } else if rest[next] == Self.lineFeed {
                endLine(rest[start..<end], &lines)
                start = next + 1
            } else {
                overwrite(rest[start..<end], now, &lines)
                start = next
            }
        }
        rest.removeSubrange(..<start)
        noteMore()
        return lines
    }

    /// What has waited for its end for too long.
    mutating func overdue(_ now: UInt64) -> [String] {
        guard !rest.isEmpty, !hasMore, now >= addedAt, now - addedAt >= Self.momentNanoseconds else { return [] }
        let whole = rest.count - Self.incompleteCount(rest)
        guard whole > 0 else { return [] }
        let text = Self.text(rest[..<whole])
        rest.removeSubrange(..<whole)
        (overwritten, isContinued) = (nil, true)
        return [text]
    }

    /// What is left when nothing more comes.
    mutating func end() -> [String] {
        defer { (rest, overwritten, isContinued, hasMore) = ([], nil, false, false) }
        let text = Self.text(rest[...])
        return text.isEmpty ? overwritten.map { [$0] } ?? [] : [text]
    }

    private mutating func endLine(_ bytes: ArraySlice<UInt8>, _ lines: inout [String]) {
        // A terminal still shows what nothing was written over.
        if bytes.isEmpty {
            if let overwritten { lines.append(overwritten) } else if !isContinued { lines.append("") }
        } else {
            lines.append(Self.text(bytes))
        }
        (overwritten, isContinued) = (nil, false)
    }

    private mutating func overwrite(_ bytes: ArraySlice<UInt8>, _ now: UInt64, _ lines: inout [String]) {
        if bytes.isEmpty { return }
        let isDue = shownAt.map { now >= $0 && now - $0 >= Self.momentNanoseconds } ?? true
        if isDue {
            lines.append(Self.text(bytes))
            shownAt = now
        }
        overwritten = isDue ? nil : Self.text(bytes)
        isContinued = isDue
    }

    private mutating func noteMore() {
        hasMore =
            rest.count > Limit.lineBytesMax || rest.contains(Self.lineFeed)
            || rest.dropLast().contains(Self.carriageReturn)
    }

    /// How many bytes at the end are the beginning of a character.
    private static func incompleteCount(_ bytes: [UInt8]) -> Int {
        for (count, byte) in bytes.reversed().prefix(4).enumerated() where byte & 0xC0 != 0x80 {
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            return length > count + 1 ? count + 1 : 0
        }
        return 0
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String {
        let bytes = bytes.last == carriageReturn ? bytes.dropLast() : bytes
        return String(decoding: bytes, as: UTF8.self)
    }
}
