/// One node of a schema, as far as it matters for the buffers of its arrays. Nodes lie in an array in the order in which Arrow's
/// messages list them: parents before children, dictionaries aside.
struct Shape {
    let layout: Layout
    /// Index of the node after this one and all it contains.
    var next: Int
    /// Index into `Shapes.dictionaries`, or -1.
    let dictionary: Int
    /// Of a union: the type id of each child.
    var typeIDs: [Int32] = []
}

/// A schema, flattened once, so that ten thousand columns of a thousand batches are walked without touching a type.
struct Shapes {
    /// The nodes of one dictionary's values.
    struct Dictionary {
        let id: Int64
        let nodes: [Shape]
        let isWrapped: Bool
    }

    /// The nodes of all columns.
    let nodes: [Shape]
    /// All dictionaries; one that another one's values need comes before that.
    let dictionaries: [Dictionary]

    init(_ schema: Schema) {
        var dictionaries: [Dictionary] = []
        var nodes: [Shape] = []
        for field in schema.fields { Self.flatten(field, into: &nodes, &dictionaries) }
        self.nodes = nodes
        self.dictionaries = dictionaries
    }

    private static func flatten(_ field: Field, into nodes: inout [Shape], _ dictionaries: inout [Dictionary]) {
        var dictionary = -1
        if let encoded = field.dictionary {
            var values: [Shape] = []
            if encoded.isWrapped { values.append(Shape(layout: .structure, next: 0, dictionary: -1)) }
            flatten(encoded.values, into: &values, &dictionaries)
            if encoded.isWrapped { values[0].next = values.count }
            dictionary = dictionaries.count
            dictionaries.append(Dictionary(id: encoded.id, nodes: values, isWrapped: encoded.isWrapped))
        }
        let index = nodes.count
        var shape = Shape(layout: field.type.layout, next: 0, dictionary: dictionary)
        if case .union(_, let typeIDs) = field.type { shape.typeIDs = typeIDs }
        nodes.append(shape)
        for child in field.children { flatten(child, into: &nodes, &dictionaries) }
        nodes[index].next = nodes.count
    }
}
