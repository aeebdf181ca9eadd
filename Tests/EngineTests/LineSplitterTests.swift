import Testing

@testable import Engine

@Suite struct LineSplitterTests {
    private static let second: UInt64 = 1_000_000_000

    /// The lines of texts that come one after the other, with a time between them, in milliseconds.
    private func lines(_ texts: [String], every milliseconds: UInt64 = 0) -> [String] {
        var splitter = LineSplitter()
        var (lines, now) = ([String](), 10 * Self.second)
        for text in texts {
            splitter.add(Array(text.utf8)[...], at: now)
            repeat { lines += splitter.lines(now) } while splitter.hasMore
            now += milliseconds * 1_000_000
            lines += splitter.overdue(now)
        }
        return lines + splitter.end()
    }

    @Test func linesAreTheSameHoweverTheyArrive() {
        let text = "one\ntwo\r\n\r\n\nthrée\u{1F600}\nlast"
        let expected = ["one", "two", "", "", "thrée\u{1F600}", "last"]
        #expect(lines([text]) == expected)
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            var splitter = LineSplitter()
            splitter.add(bytes[..<cut], at: 1)
            var found = splitter.lines(1)
            splitter.add(bytes[cut...], at: 2)
            found += splitter.lines(2)
            #expect(found + splitter.end() == expected, "cut at \(cut)")
        }
    }

    @Test func whatIsOverwrittenIsShownNowAndThenAndTheLastOfItAlways() {
        let steps = (0..<100).map { "\rstep \($0)" }
        // One arrives each 100 ms: one a second is shown, the first at once.
        let shown = lines(steps + ["\n"], every: 100)
        #expect(shown.count == 11)
        #expect(shown.first == "step 0" && shown.last == "step 99")
        #expect(lines(steps + ["\n", "done\n"]) == ["step 0", "step 99", "done"])
        #expect(lines(["\ra", "\rb"]) == ["a", "b"])
        #expect(lines(["a\r", "b\r", "c\r"]) == ["a", "c"])
        #expect(lines(["a\rb\r\n"]) == ["a", "b"])
    }

    @Test func aBeginningWaitsAMomentAndItsRestIsALineOfItsOwn() {
        #expect(lines(["half ", "a line\n"], every: 400) == ["half a line"])
        #expect(lines(["half ", "a line\n"], every: 1100) == ["half ", "a line"])
        #expect(lines(["half", "\n", "next\n"], every: 1100) == ["half", "next"])
        #expect(lines(["x\r", "\n"], every: 1100) == ["x"])
    }

    @Test func aCharacterIsNotCutWhereItsBytesComeLate() {
        var splitter = LineSplitter()
        let bytes = Array("ab\u{1F600}".utf8)
        splitter.add(bytes[..<4], at: 0)
        #expect(splitter.overdue(2 * Self.second) == ["ab"])
        #expect(splitter.overdue(4 * Self.second).isEmpty)
        splitter.add(bytes[4...], at: 5 * Self.second)
        #expect(splitter.end() == ["\u{1F600}"])
    }

    @Test func aLineWithoutEndIsCut() {
        let text = String(repeating: "x", count: 3 * Limit.lineBytesMax + 5)
        #expect(
            lines([text, "\n"]).map(\.utf8.count) == [Limit.lineBytesMax, Limit.lineBytesMax, Limit.lineBytesMax, 5])
    }
}
