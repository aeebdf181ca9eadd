/// Where the models of a DAG stand in a picture: in layers from left to right, each to the right of all that it reads.
///
/// Edges that pass over layers get a place in each of them, so that they go round the models there. Within the layers the order is that of
/// the means of the neighbours' places, from left to right and back (Sugiyama, Tagawa, Toda: Methods for Visual Understanding of Hierarchical
/// System Structures, 1981).
struct PlanLayout {
    /// A model's box, or the place where an edge passes a layer.
    struct Box {
        /// The model; nil where an edge passes.
        let node: Int?
        var x = 0.0
        var y = 0.0
        var width = 0.0
        var height = 0.0
        /// Where its layer ends.
        var layerEnd = 0.0
    }

    /// An edge by the boxes that it goes through.
    struct Edge {
        let boxes: [Int]
    }

    private(set) var boxes: [Box] = []
    private(set) var edges: [Edge] = []
    private(set) var width = 0.0
    private(set) var height = 0.0

    static let gapX = 60.0
    static let gapY = 14.0
    static let margin = 16.0
    private static let passingHeight = 4.0
    private static let sweeps = 8

    private var layers: [[Int]] = []
    private var left: [[Int]] = []
    private var right: [[Int]] = []

    /// - Parameters:
    ///   - inputs: for each model, the models that it reads; these come before it.
    ///   - sizes: the size of each model's box.
    init(inputs: [[Int]], sizes: [(width: Double, height: Double)]) {
        addBoxes(Self.depths(inputs), sizes)
        for (node, read) in inputs.enumerated() {
            for input in Set(read).sorted() { addEdge(from: input, to: node) }
        }
        for sweep in 0..<Self.sweeps { order(sweep.isMultiple(of: 2)) }
        place()
    }

    /// The layer of each model: one behind the last of those that it reads; sources stand right before their first reader.
    private static func depths(_ inputs: [[Int]]) -> [Int] {
        var depths = [Int](repeating: 0, count: inputs.count)
        for (node, read) in inputs.enumerated() {
            depths[node] = (read.map { depths[$0] }.max() ?? -1) + 1
        }
        var nearest = [Int](repeating: .max, count: inputs.count)
        for (node, read) in inputs.enumerated() {
            for input in read { nearest[input] = min(nearest[input], depths[node] - 1) }
        }
        for node in inputs.indices where inputs[node].isEmpty && nearest[node] < .max { depths[node] = nearest[node] }
        return depths
    }

    private var layerOf: [Int] = []

    private mutating func addBoxes(_ depths: [Int], _ sizes: [(width: Double, height: Double)]) {
        layers = [[Int]](repeating: [], count: (depths.max() ?? -1) + 1)
        for (node, depth) in depths.enumerated() {
            _ = add(Box(node: node, width: sizes[node].width, height: sizes[node].height), to: depth)
        }
    }

    private mutating func add(_ box: Box, to layer: Int) -> Int {
        boxes.append(box)
        layerOf.append(layer)
        left.append([])
        right.append([])
        layers[layer].append(boxes.count - 1)
        return boxes.count - 1
    }

    private mutating func addEdge(from start: Int, to end: Int) {
        var path = [start]
        for layer in stride(from: layerOf[start] + 1, to: layerOf[end], by: 1) {
            path.append(add(Box(node: nil, height: Self.passingHeight), to: layer))
        }
        path.append(end)
        for (a, b) in zip(path, path.dropFirst()) {
            right[a].append(b)
            left[b].append(a)
        }
        edges.append(Edge(boxes: path))
    }

    /// Orders each layer by the places of its neighbours on one side.
    private mutating func order(_ isForward: Bool) {
        var places = [Double](repeating: 0, count: boxes.count)
        for layer in layers {
            for (place, box) in layer.enumerated() { places[box] = Double(place) }
        }
        for layer in isForward ? Array(layers.indices) : layers.indices.reversed() {
            let keys = layers[layer].map { box in
                let neighbours = isForward ? left[box] : right[box]
                guard !neighbours.isEmpty else { return places[box] }
                return neighbours.reduce(0) { $0 + places[$1] } / Double(neighbours.count)
            }
            let sorted = zip(layers[layer], keys).enumerated().sorted { a, b in
                (a.element.1, a.offset) < (b.element.1, b.offset)
            }
            layers[layer] = sorted.map(\.element.0)
            for (place, box) in layers[layer].enumerated() { places[box] = Double(place) }
        }
    }

    /// Gives all boxes their coordinates; the layers are centred.
    private mutating func place() {
        let heights = layers.map { layer in
            layer.reduce(0) { $0 + boxes[$1].height } + Self.gapY * Double(max(0, layer.count - 1))
        }
        height = (heights.max() ?? 0) + 2 * Self.margin
        var x = Self.margin
        for (layer, own) in zip(layers, heights) {
            let wide = layer.map { boxes[$0].width }.max() ?? 0
            var y = (height - own) / 2
            for box in layer {
                boxes[box].x = x
                boxes[box].layerEnd = x + wide
                boxes[box].y = y
                if boxes[box].node == nil { boxes[box].width = wide }
                y += boxes[box].height + Self.gapY
            }
            x += wide + Self.gapX
        }
        width = max(2 * Self.margin, x - Self.gapX + Self.margin)
    }
}
