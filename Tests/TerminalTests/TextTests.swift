import Terminal
import Testing

@Suite struct TextTests {
    @Test(
        arguments: [
            ("", 0), ("abc", 3), ("é", 1), ("e\u{301}", 1), ("表", 2), ("日本語", 6), ("한글", 4), ("👍", 2), ("👨‍👩‍👧", 2),
            ("🇩🇪", 2), ("❤️", 2), ("❤", 1), ("ａ", 2), ("ﬁ", 1), ("\u{200b}", 0), ("─", 1), ("⠋", 1), ("✓", 1),
        ])
    func textTakesAsManyColumnsAsATerminalGivesIt(text: String, columns: Int) {
        #expect(text.columns == columns)
    }

    @Test(
        arguments: [
            ("revenue", 7, "revenue"), ("revenue", 6, "reven…"), ("日本語", 6, "日本語"), ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"), ("abc", 1, "…"), ("abc", 0, ""), ("", 0, ""),
        ])
    func textThatDoesNotFitIsCut(text: String, columns: Int, fitted: String) {
        #expect(text.fitted(columns) == fitted)
        #expect(text.fitted(columns).columns <= columns)
    }

    @Test func textIsPaddedByColumnsAndNotByCharacters() {
        #expect("表".leading(4) == "表  ")
        #expect("表".trailing(4) == "  表")
        #expect("abcde".leading(3) == "abcde")
    }

    @Test(arguments: [
        ("one line", "one line"), ("a\nerror: b", "a\n  error: b"), ("a\n  hint: b", "a\n  hint: b"),
        ("a\nTraceback:\n  File\n\nerror: b", "a\n  Traceback:\n    File\n\n  error: b"), ("a\n\n", "a\n\n"), ("", ""),
        ("a\n\u{a0}b", "a\n  \u{a0}b"),
    ]) func onlyTheFirstLineBeginsAtTheMargin(text: String, expected: String) {
        #expect(text.withRestIndented == expected)
    }

    @Test func wordsAreWrapped() {
        #expect("one two three".wrapped(7) == ["one two", "three"])
        #expect("incomprehensible it is".wrapped(5) == ["incomprehensible", "it is"])
        #expect("".wrapped(5) == [])
    }

    @Test(
        arguments: [
            ("plain", "plain", "plain"),
            ("a\tb", "a    b", "a    b"),
            ("\u{1b}[31mred\u{1b}[0m", "red", "\u{1b}[31mred\u{1b}[0m\u{1b}[0m"),
            ("\u{1b}[38:5:1mx", "x", "\u{1b}[38:5:1mx\u{1b}[0m"),
            ("up\u{1b}[2Aup", "upup", "upup"),
            ("\u{1b}]0;title\u{7}text", "text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link", "link"),
            ("\u{1b}]0;no end", "0;no end", "0;no end"),
            ("\u{1b}(Btext", "text", "text"),
            ("\u{1b}ctext", "text", "text"),
            ("\u{9b}2Jtext", "text", "text"),
            ("\u{1b}[?25ltext", "text", "text"),
            ("\u{1b}[>4;2mtext", "text", "text"),
            ("50%\r100%\u{8}\u{7}", "50%100%", "50%100%"),
            ("\u{202e}reversed", "reversed", "reversed"),
            ("two\u{2028}lines\n", "twolines", "twolines"),
            ("end\u{1b}", "end", "end"),
            ("end\u{1b}[3", "end", "end"),
            ("👨‍👩‍👧", "👨‍👩‍👧", "👨‍👩‍👧"),
        ])
    func nothingThatMovesTheCursorGetsThrough(text: String, plain: String, coloured: String) {
        #expect(text.withoutControls(keepingColours: false) == plain)
        #expect(text.withoutControls(keepingColours: true) == coloured)
    }

    @Test(
        arguments: [
            (true, ["TERM": "xterm-256color", "LANG": "en_US.UTF-8"], true, true, true),
            (true, ["TERM": "xterm", "LANG": "C"], true, true, false),
            (true, ["TERM": "xterm"], true, true, false),
            (true, ["TERM": "dumb", "LANG": "C.utf8"], false, false, true),
            (true, ["LANG": "C.UTF-8"], false, false, true),
            (true, ["TERM": "xterm", "NO_COLOR": "1", "LC_ALL": "C", "LANG": "C.UTF-8"], true, false, false),
            (true, ["TERM": "xterm", "NO_COLOR": "", "LC_ALL": "", "LC_CTYPE": "C.UTF-8"], true, true, true),
            (false, ["TERM": "xterm", "LANG": "C.UTF-8"], false, false, true),
            (false, [:], false, false, true),
        ] as [(Bool, [String: String], Bool, Bool, Bool)])
    func theEnvironmentDecidesWhatIsShown(
        isTerminal: Bool, environment: [String: String], isLive: Bool, isColoured: Bool, isUnicode: Bool
    ) {
        #expect(Style.isLive(isTerminal: isTerminal, environment: environment) == isLive)
        #expect(
            Style(isTerminal: isTerminal, environment: environment)
                == Style(isColoured: isColoured, isUnicode: isUnicode))
    }
}
