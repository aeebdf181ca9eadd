import FoundationXML
import SeededNumbers
import Terminal
import Testing

import class Foundation.NSObject
import struct Foundation.Data

@Suite struct PlanPictureTests {
    /// The names of the elements of a text, if it is XML.
    private final class Elements: NSObject, XMLParserDelegate {
        var names: [String] = []
        var texts = ""

        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String]
        ) { names.append(name) }

        func parser(_ parser: XMLParser, foundCharacters string: String) { texts += string }
    }

    private func elements(of text: String) throws -> Elements {
        let elements = Elements()
        let parser = XMLParser(data: Data(text.utf8))
        parser.delegate = elements
        #expect(parser.parse(), "\(String(describing: parser.parserError)): \(text)")
        return elements
    }

    @Test func aPictureHasABoxForEachModelAndALineForEachInput() throws {
        let found = try elements(of: PlanTreeTests.tree.svg())
        #expect(found.names.filter { $0 == "rect" }.count == 6)
        // A model that reads another one twice has one line to it.
        #expect(found.names.filter { $0 == "path" }.count == 7)
        #expect(found.texts.contains("python · models.py:12"))
    }

    @Test func namesWithMarkupAreText() throws {
        let name = "a<b>&\"c\" \u{1}\u{FFFF} ü 表"
        let tree = PlanTree(nodes: [.init(name: name, kind: "sql", inputs: [])])
        #expect(try elements(of: tree.svg()).texts.contains("a<b>&\"c\" \u{FFFD}\u{FFFD} ü 表"))
        #expect(tree.mermaid().contains("n0[\"a#60;b#62;#38;#34;c#34;"))
    }

    @Test func aChartOfMermaidHasEachModelAndEachInput() {
        #expect(
            PlanTreeTests.tree.mermaid()
                == """
                flowchart LR
                    n0[("lineitem<br/><small>scan · 3 of 16 columns</small>")]
                    n1[("nation<br/><small>scan</small>")]
                    n2["recent<br/><small>python · models.py:12</small>"]
                    n3["revenue<br/><small>sql · revenue.sql</small>"]
                    n4["by#95;nation<br/><small>python · models.py:30</small>"]
                    n5["top<br/><small>python · models.py:41</small>"]
                    n0 --> n2
                    n1 --> n3
                    n2 --> n3
                    n1 --> n4
                    n2 --> n4
                    n3 --> n4
                    n3 --> n5
                """.replacing("#95;", with: "_"))
    }

    @Test(arguments: 0..<50) func noTwoBoxesOverlapAndReadersStandToTheRight(seed: UInt64) throws {
        var numbers = RandomSource(seed: seed)
        let count = Int.random(in: 0...40, using: &numbers)
        let nodes = (0..<count).map { index in
            PlanTree.Node(
                name: String(repeating: "m", count: Int.random(in: 1...30, using: &numbers)), kind: "python",
                inputs: index == 0
                    ? []
                    : (0..<Int.random(in: 0...4, using: &numbers)).map { _ in
                        Int.random(in: 0..<index, using: &numbers)
                    })
        }
        let boxes = rectangles(PlanTree(nodes: nodes).svg())
        try #require(boxes.count == count)
        for (index, box) in boxes.enumerated() {
            for other in boxes[..<index] {
                let isBeside = box.x + box.width <= other.x || other.x + other.width <= box.x
                let isBelow = box.y + box.height <= other.y || other.y + other.height <= box.y
                #expect(isBeside || isBelow)
            }
            for input in nodes[index].inputs { #expect(boxes[input].x + boxes[input].width < box.x) }
        }
    }

    private struct Rectangle {
        var x, y, width, height: Double
    }

    private func rectangles(_ text: String) -> [Rectangle] {
        text.split(separator: "\n").filter { $0.hasPrefix("<g><rect") }.map { line in
            func attribute(_ name: String) -> Double {
                let start = line.firstRange(of: " \(name)=\"")!.upperBound
                return Double(line[start...].prefix { $0 != "\"" })!
            }
            return Rectangle(
                x: attribute("x"), y: attribute("y"), width: attribute("width"), height: attribute("height"))
        }
    }
}
