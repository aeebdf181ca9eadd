import Terminal
import Testing

@Suite struct SummaryTests {
    static let style = Style(isColoured: false, isUnicode: true)

    static let summary = Summary(
        results: [
            ModelResult(
                name: "lineitem", status: .success, time: .milliseconds(840), rows: 6_001_215,
                travel: .init(bornSharedBytes: 1_181_116_006, packedBytes: 2048), memoryBytesMax: 1_395_864_371),
            ModelResult(
                name: "recent", status: .success, time: .milliseconds(31), rows: 2_000_000,
                travel: .init(resharedBytes: 393_216_000), memoryBytesMax: 73_400_320),
            ModelResult(
                name: "empty", status: .success, time: .milliseconds(9), rows: 0, travel: .init(),
                memoryBytesMax: 33_554_432),
        ], time: .milliseconds(1240))

    @Test func aWideTerminalShowsEveryCount() {
        #expect(
            Self.summary.text(columns: 100, style: Self.style)
                == """
                model          rows     bytes   time    memory  reshared  born shared    packed  copied
                ───────────────────────────────────────────────────────────────────────────────────────
                lineitem  6,001,215  1.10 GiB  840ms  1.30 GiB         -     1.10 GiB  2.00 KiB       -
                recent    2,000,000   375 MiB   31ms  70.0 MiB   375 MiB            -         -       -
                empty             0       0 B    9ms  32.0 MiB         -            -         -       -
                ───────────────────────────────────────────────────────────────────────────────────────
                total                1.47 GiB                    375 MiB     1.10 GiB  2.00 KiB       -
                3 models in 1.24s. 1.47 GiB of tables: 25% reshared, 75% born shared, 2.00 KiB packed, nothing copied.
                """.wrappedLast(100))
    }

    @Test func modelsThatWereWarnedAboutAreCounted() {
        func last(_ results: [ModelResult]) -> String {
            let text = Summary(results: results, time: .seconds(1)).text(columns: 100, style: Self.style)
            return String(text.split(separator: "\n").last ?? "")
        }
        let doubtful = ModelResult(name: "a", status: .success, isDoubtful: true)
        #expect(last([doubtful]) == "1 model in 1.00s: 1 with warnings.")
        #expect(
            last([doubtful, ModelResult(name: "b", status: .failed)])
                == "2 models in 1.00s: 1 succeeded, 1 failed, 1 with warnings.")
    }

    @Test func aNarrowerOneSaysItInWords() {
        #expect(
            Self.summary.text(columns: 80, style: Self.style) == """
                model          rows     bytes   time    memory  how the bytes travelled
                ───────────────────────────────────────────────────────────────────────
                lineitem  6,001,215  1.10 GiB  840ms  1.30 GiB  >99% born shared
                recent    2,000,000   375 MiB   31ms  70.0 MiB  100% reshared
                empty             0       0 B    9ms  32.0 MiB  -
                ───────────────────────────────────────────────────────────────────────
                total                1.47 GiB
                3 models in 1.24s. 1.47 GiB of tables: 25% reshared, 75% born shared, 2.00 KiB
                packed, nothing copied.
                """)
    }

    @Test func theWordsCountMoreThanMemory() {
        #expect(
            Self.summary.text(columns: 65, style: Self.style) == """
                model          rows     bytes   time  how the bytes travelled
                ─────────────────────────────────────────────────────────────
                lineitem  6,001,215  1.10 GiB  840ms  >99% born shared
                recent    2,000,000   375 MiB   31ms  100% reshared
                empty             0       0 B    9ms  -
                ─────────────────────────────────────────────────────────────
                total                1.47 GiB
                3 models in 1.24s. 1.47 GiB of tables: 25% reshared, 75% born
                shared, 2.00 KiB packed, nothing copied.
                """)
    }

    @Test func aNarrowOneShowsLess() {
        #expect(
            Self.summary.text(columns: 50, style: Self.style) == """
                model          rows     bytes   time    memory
                ──────────────────────────────────────────────
                lineitem  6,001,215  1.10 GiB  840ms  1.30 GiB
                recent    2,000,000   375 MiB   31ms  70.0 MiB
                empty             0       0 B    9ms  32.0 MiB
                ──────────────────────────────────────────────
                total                1.47 GiB
                3 models in 1.24s. 1.47 GiB of tables: 25%
                reshared, 75% born shared, 2.00 KiB packed,
                nothing copied.
                """)
    }

    @Test func copiesAndOtherEndingsAreNamed() {
        let summary = Summary(
            results: [
                ModelResult(
                    name: "a", status: .success, time: .seconds(1), rows: 10,
                    travel: .init(deanonymizedBytes: 4096, copiedBytes: 4096), memoryBytesMax: 1 << 20),
                ModelResult(name: "b", status: .failed, time: .seconds(2), memoryBytesMax: 2 << 20),
                ModelResult(name: "c", status: .cancelled, time: .seconds(2)),
                ModelResult(name: "d", status: .skipped),
            ], time: .seconds(3))
        #expect(
            summary.text(columns: 120, style: Self.style)
                == """
                model     rows     bytes   time    memory  reshared  born shared  deanonymized  packed    copied
                ────────────────────────────────────────────────────────────────────────────────────────────────
                a           10  8.00 KiB  1.00s  1.00 MiB         -            -      4.00 KiB       -  4.00 KiB
                b       failed            2.00s  2.00 MiB
                c      stopped            2.00s
                d      not run
                ────────────────────────────────────────────────────────────────────────────────────────────────
                total           8.00 KiB                          -            -      4.00 KiB       -  4.00 KiB
                4 models in 3.00s: 1 succeeded, 1 failed, 1 stopped, 1 not run. 8.00 KiB of tables: 50% deanonymized, 4.00 KiB copied.
                """.wrappedLast(120))
    }

    @Test func coloursDoNotMoveColumns() {
        let coloured = Self.summary.text(columns: 100, style: Style(isColoured: true, isUnicode: true))
        #expect(coloured.contains("\u{1b}["))
        #expect(
            coloured.split(separator: "\n").map { String($0).withoutControls(keepingColours: false) }.map(trimmed)
                == Self.summary.text(columns: 100, style: Self.style).split(separator: "\n").map(String.init))
    }

    @Test(arguments: Array(1...130)) func noLineIsWiderThanTheTerminal(columns: Int) {
        var summary = Self.summary
        summary.results.append(
            ModelResult(
                name: "とても長い名前のモデル_with_a_long_name_and_more", status: .success, time: .seconds(4000), rows: 1 << 40,
                travel: .init(resharedBytes: 1 << 40, copiedBytes: 1 << 30), memoryBytesMax: 1 << 41))
        for line in summary.text(columns: columns, style: Self.style).split(separator: "\n") {
            // Below forty columns a row of numbers doesn't fit, and nothing is cut from numbers.
            #expect(String(line).columns <= max(columns, 40), "\(line)")
        }
    }

    @Test func aRunWithoutModelsIsASentence() {
        let summary = Summary(results: [], time: .milliseconds(3))
        #expect(summary.text(columns: 80, style: Self.style) == "0 models in 3ms.")
    }

    @Test func countsThatNoTableCanHaveDoNoHarm() {
        let travel = ModelResult.Travel(resharedBytes: .max, bornSharedBytes: .max, copiedBytes: .max)
        let result = ModelResult(name: "liar", status: .success, rows: .max, travel: travel)
        let summary = Summary(results: [result, result], time: .zero)
        #expect(summary.text(columns: 120, style: Self.style).contains("16.0 EiB"))
    }

    private func trimmed(_ text: String) -> String {
        var text = text
        while text.last == " " { text.removeLast() }
        return text
    }
}

extension String {
    /// The text with its last line wrapped.
    fileprivate func wrappedLast(_ columns: Int) -> String {
        let lines = split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        return (lines.dropLast() + lines.last!.wrapped(columns)).joined(separator: "\n")
    }
}
