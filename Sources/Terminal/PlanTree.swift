/// The DAG of a project as a tree: each result with the models it is made of below it.
///
/// A model that several others read is drawn with all below it once; elsewhere its name is followed by `(*)`.
public struct PlanTree: Equatable, Sendable {
    /// A model.
    public struct Node: Equatable, Sendable {
        /// Its name.
        public var name: String
        /// What it is: `scan`, `python`, `sql`.
        public var kind: String
        /// Where it is declared: `models.py:12`; nil if it is declared nowhere.
        public var place: String?
        /// More about it, such as what it reads of a source.
        public var details: String?
        /// Indexes of the nodes it reads; a node may appear several times.
        public var inputs: [Int]

        /// A model.
        public init(name: String, kind: String, place: String? = nil, details: String? = nil, inputs: [Int]) {
            self.name = name
            self.kind = kind
            self.place = place
            self.details = details
            self.inputs = inputs
        }
    }

    /// The models; each comes after those that it reads.
    public var nodes: [Node]

    /// A tree of models. Traps if a node reads one that doesn't come before it.
    public init(nodes: [Node]) {
        for (index, node) in nodes.enumerated() {
            precondition(node.inputs.allSatisfy { (0..<index).contains($0) }, "\(node.name) comes before its inputs")
        }
        self.nodes = nodes
    }

    /// The tree and a line that counts, without a line break at the end. No line is wider than the columns.
    public func text(columns: Int, style: Style) -> String {
        let columns = max(20, columns)
        // Deeper ones would leave no room for names. They are drawn as further trees.
        var drawing = Drawing(tree: self, style: style, columns: columns, depthMax: max(3, columns / 8))
        let read = Set(nodes.flatMap(\.inputs))
        for node in nodes.indices where !read.contains(node) {
            drawing.addTree(node)
        }
        drawing.addDeferred()
        let legend = drawing.hasRepeats ? ". (*): drawn above" : ""
        return (drawing.lines + [""] + (counts + legend).wrapped(columns)).joined(separator: "\n")
    }

    /// `12 models: 4 scan, 6 python, 2 sql`.
    var counts: String {
        var kinds: [(kind: String, count: Int)] = []
        for node in nodes {
            if let index = kinds.firstIndex(where: { $0.kind == node.kind }) {
                kinds[index].count += 1
            } else {
                kinds.append((node.kind, 1))
            }
        }
        let text = kinds.map { "\($0.count) \($0.kind)" }.joined(separator: ", ")
        return Quantity.models(nodes.count) + (nodes.isEmpty ? "" : ": \(text)")
    }

    private struct Drawing {
        let tree: PlanTree
        let style: Style
        let columns: Int
        let depthMax: Int
        var lines: [String] = []
        /// Whether a `(*)` was drawn.
        private(set) var hasRepeats = false
        private var isDrawn: Set<Int> = []
        private var waiting: [Int] = []

        init(tree: PlanTree, style: Style, columns: Int, depthMax: Int) {
            self.tree = tree
            self.style = style
            self.columns = columns
            self.depthMax = depthMax
        }

        mutating func addTree(_ root: Int) {
            if !lines.isEmpty {
                lines.append("")
            }
            add(root, count: 1, prefix: "", childPrefix: "", depth: 0)
        }

        /// Draws the nodes that were too deep, unless they have been drawn elsewhere meanwhile.
        mutating func addDeferred() {
            var next = 0
            while next < waiting.count {
                if !isDrawn.contains(waiting[next]) {
                    addTree(waiting[next])
                }
                next += 1
            }
        }

        private mutating func add(_ index: Int, count: Int, prefix: String, childPrefix: String, depth: Int) {
            let node = tree.nodes[index]
            let hasMore = !node.inputs.isEmpty
            let isRepeated = hasMore && isDrawn.contains(index)
            let isTooDeep = hasMore && !isRepeated && depth >= depthMax
            let mark = isRepeated ? " (*)" : isTooDeep ? " (below)" : ""
            hasRepeats = hasRepeats || isRepeated
            lines.append(line(node, count, prefix, mark))
            guard hasMore, !isRepeated else {
                return
            }
            if isTooDeep {
                waiting.append(index)
                return
            }
            isDrawn.insert(index)
            let inputs = distinct(node.inputs)
            for (place, input) in inputs.enumerated() {
                let isLast = place == inputs.count - 1
                add(
                    input.index, count: input.count, prefix: childPrefix + (isLast ? style.lastBranch : style.branch),
                    childPrefix: childPrefix + (isLast ? "    " : style.trunk), depth: depth + 1)
            }
        }

        private func distinct(_ inputs: [Int]) -> [(index: Int, count: Int)] {
            var counts: [Int: Int] = [:]
            for input in inputs {
                counts[input, default: 0] += 1
            }
            var seen: Set<Int> = []
            return inputs.filter { seen.insert($0).inserted }.map { ($0, counts[$0]!) }
        }

        private func line(_ node: Node, _ count: Int, _ prefix: String, _ mark: String) -> String {
            let clean = { (text: String) in text.withoutControls(keepingColours: false) }
            let ending = (count > 1 ? " \(style.times)\(count)" : "") + mark
            let prefix = prefix.fitted(max(0, columns - ending.columns - 2), mark: style.ellipsis)
            var room = columns - prefix.columns - ending.columns
            let name = clean(node.name).fitted(max(1, room), mark: style.ellipsis)
            room -= name.columns
            var quiet = ""
            if mark.isEmpty {
                let more = [node.kind, node.place ?? "", node.details ?? ""].map(clean).filter { !$0.isEmpty }
                let text = "  " + more.joined(separator: "  ")
                quiet = room > 6 ? text.fitted(room, mark: style.ellipsis) : ""
            }
            return style.paint(prefix, .quiet) + style.paint(name, .strong) + ending + style.paint(quiet, .quiet)
        }
    }
}
