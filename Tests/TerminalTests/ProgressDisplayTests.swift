import SeededNumbers
import Terminal
import Testing

@Suite struct ProgressDisplayTests {
    static let plain = Style(isColoured: false, isUnicode: true)
    static let coloured = Style(isColoured: true, isUnicode: true)
    static let travel = ModelResult.Travel(bornSharedBytes: 3 << 20)

    static func snapshot(_ running: [String], ended: Int = 0, of count: Int = 4, at tenths: Int = 0) -> RunSnapshot {
        RunSnapshot(
            modelCount: count, endedCount: ended,
            running: running.map { .init(name: $0, elapsed: .milliseconds(tenths * 100)) },
            elapsed: .milliseconds(tenths * 100), activity: "warming up python")
    }

    // MARK: - without a terminal

    @Test func elsewhereThanOnATerminalEachEventIsALine() {
        var display = ProgressDisplay(isLive: false, style: Self.plain)
        display.prepare(names: ["a", "orders"])
        #expect(display.update(Self.snapshot(["a"]), columns: 80, rows: 24) == "")
        #expect(display.started("a") == "  a       started\n")
        #expect(display.printed("a", "hello\u{1b}[2J") == "a      │ hello\n")
        #expect(
            display.ended(ModelResult(name: "a", status: .success, time: .seconds(2), rows: 1, travel: Self.travel))
                == "✓ a                 1 row   3.00 MiB   2.00s\n")
        #expect(
            display.ended(
                ModelResult(
                    name: "orders", status: .success, time: .milliseconds(84), rows: 1_500_000, travel: Self.travel))
                == "✓ orders    1,500,000 rows  3.00 MiB    84ms\n")
        #expect(
            display.ended(ModelResult(name: "e", status: .success, time: .seconds(1), rows: 1, isDoubtful: true))
                == "! e                 1 row    1.00s\n")
        #expect(
            display.ended(ModelResult(name: "b", status: .failed, time: .seconds(1)))
                == "✗ b       failed after 1.00s\n")
        #expect(display.ended(ModelResult(name: "c", status: .cancelled)) == "- c       not run\n")
        #expect(
            display.ended(ModelResult(name: "d", status: .skipped, reason: "not run, because 'b' failed"))
                == "- d       not run, because 'b' failed\n")
        #expect(display.log("two\nlines") == "two\nlines\n")
        #expect(display.finish() == "")
    }

    @Test func withoutUnicodeLinesAreASCII() {
        var display = ProgressDisplay(isLive: true, style: Style(isColoured: false, isUnicode: false))
        display.prepare(names: ["a"])
        let texts = [
            display.update(Self.snapshot(["a"]), columns: 10, rows: 24), display.printed("a", "x"),
            display.started("a"),
            display.ended(ModelResult(name: "a", status: .failed)),
            display.ended(ModelResult(name: "a", status: .success)),
        ]
        #expect(texts.allSatisfy { $0.allSatisfy(\.isASCII) })
    }

    // MARK: - on a terminal

    @Test func runningModelsStandBelowWhatIsPrinted() {
        var display = ProgressDisplay(isLive: true, style: Self.coloured)
        var screen = Screen(width: 60, height: 24)
        display.prepare(names: ["orders", "revenue"])
        screen.write(display.update(Self.snapshot([], at: 1), columns: 60, rows: 24))
        #expect(screen.text == [" Running [>       ] 0/4 models · warming up python · 100ms"])
        screen.write(display.update(Self.snapshot(["orders"], at: 5), columns: 60, rows: 24))
        screen.write(display.printed("orders", "\u{1b}[32mhello\u{1b}[A"))
        #expect(
            screen.text == [
                "orders  │ hello", "⠴ orders    500ms", " Running [>               ] 0/4 models · 1 running · 500ms",
            ])
        // Now known to have ended, though it is too early to draw that by itself.
        #expect(display.update(Self.snapshot(["revenue"], ended: 1, at: 5), columns: 60, rows: 24) == "")
        screen.write(display.ended(ModelResult(name: "orders", status: .success, time: .seconds(1), rows: 5)))
        #expect(
            screen.text == [
                "orders  │ hello", "✓ orders             5 rows   1.00s", "⠴ revenue   500ms",
                " Running [====>           ] 1/4 models · 1 running · 500ms",
            ])
        screen.write(display.finish())
        screen.write("done\n")
        #expect(screen.text == ["orders  │ hello", "✓ orders             5 rows   1.00s", "done"])
        #expect(screen.faults == [])
    }

    @Test func itIsDrawnTenTimesASecond() {
        var display = ProgressDisplay(isLive: true, style: Self.plain)
        var drawn = 0
        for millisecond in 0..<1000 {
            let snapshot = RunSnapshot(modelCount: 1, endedCount: 0, running: [], elapsed: .milliseconds(millisecond))
            drawn += display.update(snapshot, columns: 80, rows: 24).isEmpty ? 0 : 1
        }
        #expect(drawn == 10)
    }

    @Test func whatIsHeldIsShown() {
        var display = ProgressDisplay(isLive: true, style: Self.plain)
        var screen = Screen(width: 60, height: 8)
        var snapshot = Self.snapshot(["m"], of: 2)
        snapshot.memoryBytes = 300 << 20
        snapshot.running[0].memoryBytes = 256 << 20
        screen.write(display.update(snapshot, columns: 60, rows: 8))
        #expect(
            screen.text == [
                "⠋ m     0ms   256 MiB", " Running 0/2 models · 1 running · memory 300 MiB · 0ms",
            ])
    }

    @Test func manyRunningModelsAreCounted() {
        var display = ProgressDisplay(isLive: true, style: Self.plain)
        var screen = Screen(width: 50, height: 8)
        screen.write(display.update(Self.snapshot((0..<9).map { "m\($0)" }, of: 20), columns: 50, rows: 8))
        #expect(
            screen.text == [
                "⠋ m0     0ms", "⠋ m1     0ms", "⠋ m2     0ms", "⠋ m3     0ms", "  … and 5 more",
                " Running 0/20 models · 9 running · 0ms",
            ])
    }

    @Test(arguments: [1, 2, 5, 11, 20, 33, 80, 200]) func noLiveLineIsAsWideAsTheTerminal(columns: Int) {
        var display = ProgressDisplay(isLive: true, style: Self.plain)
        display.prepare(names: ["日本語のモデル", "m"])
        let snapshot = Self.snapshot(["日本語のモデル", String(repeating: "long", count: 30), "m"], of: 1000)
        let lines = display.update(snapshot, columns: columns, rows: 24).split(separator: "\n").dropLast()
        #expect(lines.count == 4)
        for line in lines {
            #expect(String(line.dropLast(3)).columns < max(columns, 2))
        }
    }

    /// Whatever is printed, and however the window changes, it is on the screen once and in order, above the live lines.
    @Test(arguments: UInt64(0)..<300) func nothingIsGarbled(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        // Lines that were folded off the screen are out of reach, so a window that changes is a high one.
        let isResized = random.below(2) == 0
        let height = isResized ? 40 : 3 + random.below(12)
        var display = ProgressDisplay(isLive: true, style: random.below(2) == 0 ? Self.plain : Self.coloured)
        var screen = Screen(width: 24 + random.below(60), height: height)
        var expected: [String] = []
        var live: [String] = []
        var tenths = 0
        display.prepare(names: ["a", "b"])
        for step in 0..<60 {
            switch random.below(6) {
            case 0 where isResized:
                // Wider or narrower, and the next update is told. What has been folded is one line nevertheless.
                screen.resize(width: 24 + random.below(60))
                fallthrough
            case 0, 1, 2:
                tenths += 1 + random.below(3)
                let names = ["a", "b", "c", "d", "e"].prefix(random.below(6))
                let snapshot = Self.snapshot(Array(names), of: 9, at: tenths)
                screen.write(display.update(snapshot, columns: screen.width, rows: height))
                live = ["Running"]
            case 3:
                let text = "log \(step):" + String(repeating: "x", count: random.below(9))
                screen.write(display.log(text))
                expected.append(text)
            case 4:
                screen.write(display.printed("a", "print \(step)\r\u{1b}[3A\u{1b}[2K"))
                expected.append("a │ print \(step)")
            default:
                screen.write(display.finish())
                live = []
            }
            let shown = screen.text
            try #require(Array(shown.prefix(expected.count)) == expected, "step \(step)")
            let isLive = shown.count > expected.count
            try #require(isLive == !live.isEmpty, "step \(step)")
            try #require(shown.filter { $0.hasPrefix(" Running") }.count == live.count, "step \(step)")
            try #require(shown.count - expected.count < height, "step \(step)")
        }
        #expect(screen.faults == [])
    }
}
