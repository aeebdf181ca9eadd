extension PlanTree {
    private static let fontSize = 12.0
    /// The width of a character of a monospaced font, in its size.
    private static let characterWidth = 0.602
    private static let lineHeight = 17.0
    private static let padding = 9.0

    /// The DAG as a picture, in the text of an SVG file. It follows the reader's dark or light colours.
    public func svg() -> String {
        let texts = nodes.map { node in [node.name, node.caption] }
        let sizes = texts.map { lines in
            let columns = lines.map(\.columns).max() ?? 0
            return (
                width: Double(columns) * Self.fontSize * Self.characterWidth + 2 * Self.padding,
                height: Double(lines.count) * Self.lineHeight + Self.padding
            )
        }
        let layout = PlanLayout(inputs: nodes.map(\.inputs), sizes: sizes)
        var lines = [
            #"<svg xmlns="http://www.w3.org/2000/svg" width="\#(number(layout.width))" height="\#(number(layout.height))" "#
                + #"viewBox="0 0 \#(number(layout.width)) \#(number(layout.height))" role="img">"#,
            "<title>\(counts.escapedForXML)</title>", "<style>\(Self.svgStyle)</style>",
        ]
        for edge in layout.edges { lines.append(#"<path d="\#(path(edge, layout))"/>"#) }
        for box in layout.boxes {
            guard let node = box.node else { continue }
            lines.append(shape(nodes[node], box, texts[node]))
        }
        return (lines + ["</svg>"]).joined(separator: "\n")
    }

    private static let svgStyle = """
        text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1d2330}.c{fill:#69707d}path{fill:none;stroke:#a7adb8;stroke-width:1.3}\
        rect{fill:#fff;stroke:#8a93a3;stroke-width:1.2}.scan{fill:#eef4fb;stroke:#5b8fc7}.sql{fill:#f3effb;stroke:#8e6cc9}.python{fill:#eef8f1;stroke:#4d9e68}\
        .expectation{fill:#fdf5e6;stroke:#c9963f}@media(prefers-color-scheme:dark){text{fill:#e6e9ef}.c{fill:#9aa3b2}path{stroke:#6b7484}rect{fill:#23272f;stroke:#7b8494}\
        .scan{fill:#1d2a3a}.sql{fill:#2a2338}.python{fill:#1e2f25}.expectation{fill:#362d1b}}
        """

    private func shape(_ node: Node, _ box: PlanLayout.Box, _ texts: [String]) -> String {
        var parts = [
            #"<g><rect class="\#(node.kind.escapedForXML)" x="\#(number(box.x))" y="\#(number(box.y))" "#
                + #"width="\#(number(box.width))" height="\#(number(box.height))" rx="5"/>"#
        ]
        for (index, text) in texts.enumerated() {
            let y = box.y + Self.lineHeight * Double(index + 1)
            let style = index == 0 ? "" : #" class="c""#
            parts.append(
                #"<text\#(style) x="\#(number(box.x + Self.padding))" y="\#(number(y))">\#(text.escapedForXML)</text>"#)
        }
        return parts.joined() + "</g>"
    }

    /// A curve from the right side of the first box through the others to the left side of the last.
    private func path(_ edge: PlanLayout.Edge, _ layout: PlanLayout) -> String {
        var text = ""
        var last: (x: Double, y: Double)?
        for place in edge.boxes {
            let box = layout.boxes[place]
            let y = box.y + box.height / 2
            if let last {
                let middle = number((last.x + box.x) / 2)
                text += " C\(middle) \(number(last.y)) \(middle) \(number(y)) \(number(box.x)) \(number(y))"
            } else {
                text += "M\(number(box.x + box.width)) \(number(y))"
            }
            // Straight on to the end of the layer, so that it crosses no box that is wider.
            if place != edge.boxes.last { text += " L\(number(box.layerEnd)) \(number(y))" }
            last = (box.layerEnd, y)
        }
        return text
    }

    /// The DAG as a flowchart of Mermaid, for Markdown.
    public func mermaid() -> String {
        var lines = ["flowchart LR"]
        for (index, node) in nodes.enumerated() {
            let words = "\(node.name.escapedForMermaid)<br/><small>\(node.caption.escapedForMermaid)</small>"
            let (open, close) =
                node.kind == "scan" ? ("[(", ")]") : node.kind == "expectation" ? ("{{", "}}") : ("[", "]")
            lines.append("    n\(index)\(open)\"\(words)\"\(close)")
        }
        for (index, node) in nodes.enumerated() {
            for input in Set(node.inputs).sorted() { lines.append("    n\(input) --> n\(index)") }
        }
        return lines.joined(separator: "\n")
    }
}

extension PlanTree.Node {
    /// What a picture says below its name.
    fileprivate var caption: String { ([kind] + [place, details].compactMap(\.self)).joined(separator: " · ") }
}

extension String {
    /// Without what XML takes for markup, and without characters that it can't have.
    fileprivate var escapedForXML: String {
        var text = ""
        for scalar in unicodeScalars {
            switch scalar {
            case "&": text += "&amp;"
            case "<": text += "&lt;"
            case ">": text += "&gt;"
            case "\"": text += "&quot;"
            default:
                let isNone = scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF
                text.unicodeScalars.append(isNone ? "\u{FFFD}" : scalar)
            }
        }
        return text
    }

    /// As entity codes where Mermaid would take a character for its own.
    fileprivate var escapedForMermaid: String {
        var text = ""
        for scalar in unicodeScalars {
            let isPlain =
                scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                || " _-.:,·/".unicodeScalars.contains(scalar)
            text += isPlain ? String(scalar) : "#\(scalar.value);"
        }
        return text
    }
}

/// A coordinate with at most one digit behind its point.
private func number(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
}
