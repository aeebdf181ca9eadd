import SeededNumbers
import Terminal
import Testing

@Suite struct PlanTreeTests {
    static let style = Style(isColoured: false, isUnicode: true)

    static let tree = PlanTree(nodes: [
        .init(name: "lineitem", kind: "scan", details: "3 of 16 columns", inputs: []),
        .init(name: "nation", kind: "scan", inputs: []),
        .init(name: "recent", kind: "python", place: "models.py:12", inputs: [0]),
        .init(name: "revenue", kind: "sql", place: "revenue.sql", inputs: [2, 1, 2]),
        .init(name: "by_nation", kind: "python", place: "models.py:30", inputs: [3, 1, 2]),
        .init(name: "top", kind: "python", place: "models.py:41", inputs: [3]),
    ])

    @Test func eachResultStandsAboveWhatItIsMadeOf() {
        #expect(
            Self.tree.text(columns: 80, style: Self.style) == """
                by_nation  python  models.py:30
                ├── revenue  sql  revenue.sql
                │   ├── recent ×2  python  models.py:12
                │   │   └── lineitem  scan  3 of 16 columns
                │   └── nation  scan
                ├── nation  scan
                └── recent (*)

                top  python  models.py:41
                └── revenue (*)

                6 models: 2 scan, 3 python, 1 sql. (*): drawn above
                """)
    }

    @Test func aDeepChainGoesOnBelow() {
        let tree = PlanTree(
            nodes: (0..<9).map { PlanTree.Node(name: "m\($0)", kind: "sql", inputs: $0 == 0 ? [] : [$0 - 1]) })
        #expect(
            tree.text(columns: 24, style: Style(isColoured: false, isUnicode: false)) == """
                m8  sql
                `-- m7  sql
                    `-- m6  sql
                        `-- m5 (below)

                m5  sql
                `-- m4  sql
                    `-- m3  sql
                        `-- m2 (below)

                m2  sql
                `-- m1  sql
                    `-- m0  sql

                9 models: 9 sql
                """)
    }

    @Test(arguments: [1, 20, 21, 30, 47, 80]) func noLineIsWiderThanTheTerminal(columns: Int) {
        let tree = PlanTree(
            nodes: (0..<30).map { index in
                PlanTree.Node(
                    name: "モデル_\(index)_" + String(repeating: "n", count: index * 2), kind: "python",
                    place: "some/folder/models.py:\(index)",
                    inputs: index == 0 ? [] : [index - 1, index / 2, index / 2])
            })
        for line in tree.text(columns: columns, style: Self.style).split(separator: "\n") {
            #expect(String(line).columns <= max(columns, 20), "\(line)")
        }
    }

    @Test func everyModelIsDrawnWithItsInputsOnceHoweverDeep() {
        var random = RandomSource(seed: 4)
        for _ in 0..<100 {
            let count = 1 + random.below(60)
            let nodes = (0..<count).map { index in
                PlanTree.Node(
                    name: "n\(index)", kind: "sql",
                    inputs: index == 0 ? [] : (0..<random.below(4)).map { _ in random.below(index) })
            }
            let lines = PlanTree(nodes: nodes).text(columns: 40, style: Self.style).split(separator: "\n").dropLast()
            for (index, node) in nodes.enumerated() where !node.inputs.isEmpty {
                let full = lines.filter { $0.contains("n\(index) ") && $0.hasSuffix("  sql") }
                #expect(full.count == 1, "n\(index)")
            }
        }
    }

    @Test func coloursAreOutsideOfWhatIsMeasured() {
        let coloured = Self.tree.text(columns: 40, style: Style(isColoured: true, isUnicode: true))
        let lines = coloured.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(
            lines.map { $0.withoutControls(keepingColours: false) }.joined(separator: "\n")
                == Self.tree.text(columns: 40, style: Self.style))
    }

    @Test func anEmptyProjectHasNoTree() {
        #expect(PlanTree(nodes: []).text(columns: 80, style: Self.style) == "\n0 models")
    }
}
