import CArrow

/// A stretch of this process's memory that holds one buffer.
struct Extent: Equatable {
    let address: UInt
    let bytes: Int
    /// Whether the walk made it, so that it belongs to no library.
    var isMade = false
}

/// Walks the arrays of a table, and writes down for each message its nodes and where its buffers lie.
///
/// It reads the values on which lengths of buffers depend (the last offset, run ends, lengths of view data), and bitmaps whose
/// nulls nobody counted. When it narrows, it also reads which values a slice has. The arrays belong to this process and are
/// trusted as far as the C interface asks; offsets in them are checked all the same.
struct Collector {
    private let shapes: Shapes
    private(set) var builder: DescriptorBuilder
    /// The buffers of all messages, in the order of their references.
    private(set) var extents: [Extent] = []
    /// The column of each extent; -1 for an extent of a dictionary.
    private(set) var columns: [Int] = []
    /// About how many bytes of each column narrowing would save, as far as can be seen without reading it.
    private(set) var slack: [Int] = []
    /// The columns with views, for which that can't be seen.
    private(set) var viewColumns: Set<Int> = []
    /// The buffers that the walk made; some extents point into them.
    let made = MadeMemory()
    private let narrowing: (Int) -> Narrowing
    private var lastDictionaries: [Collected?]
    /// The number of the batch, from 0, that each dictionary was last sent with; nil for one that was not sent.
    private(set) var dictionaryBatches: [Int?]

    /// - Parameter narrowing: how far each column is narrowed to the values that its rows name.
    init(_ schema: Schema, narrowing: @escaping (Int) -> Narrowing = { _ in .none }) {
        shapes = Shapes(schema)
        builder = DescriptorBuilder(schema)
        lastDictionaries = Array(repeating: nil, count: shapes.dictionaries.count)
        dictionaryBatches = Array(repeating: nil, count: shapes.dictionaries.count)
        self.narrowing = narrowing
        slack = Array(repeating: 0, count: schema.fields.count)
    }

    /// Adds a batch, and before it its dictionaries, except those that are the same as in the batch before.
    mutating func append(_ batch: UnsafePointer<ArrowArray>) throws(SIPCError) {
        let columns = try ArrowNode(batch, .structure, childCount: nil)
        guard try columns.nullCount(from: 0, count: columns.length) == 0 else {
            throw .invalidTable("a batch of the result has rows that are null as a whole")
        }
        var roots: [Int] = []
        var node = 0
        while node < shapes.nodes.count {
            roots.append(node)
            node = shapes.nodes[node].next
        }
        guard columns.childCount == roots.count else {
            throw .invalidTable("a batch has \(columns.childCount) columns, the schema \(roots.count)")
        }
        var walk = BodyWalk(made)
        walk.body.length = Int64(columns.length)
        var owners: [Int] = []
        for (index, root) in roots.enumerated() {
            walk.narrowing = narrowing(index)
            walk.slackBits = 0
            try walk.append(
                columns.child(index), shapes.nodes, root, from: columns.offset, count: columns.length, before: 0)
            slack[index] = min(slack[index], Int.max / 2) + walk.slackBits / 8
            if walk.hasViews { viewColumns.insert(index) }
            walk.hasViews = false
            owners += repeatElement(index, count: walk.extents.count - owners.count)
        }
        for (index, values) in walk.dictionaries { _ = try append(dictionary: index, values) }
        try builder.append(batch: walk.body)
        extents += walk.extents
        self.columns += owners
    }

    /// Forgets the buffers of the batches so far, which their places are known of, and frees those that were made.
    mutating func endBatch() {
        extents.removeAll(keepingCapacity: true)
        columns.removeAll(keepingCapacity: true)
        made.free()
    }

    /// The content that was last sent for a dictionary.
    private struct Collected {
        let body: Body
        let extents: [Extent]
    }

    /// Adds a dictionary if it differs from the last one, in itself or in the dictionaries of its values.
    private mutating func append(
        dictionary index: Int, _ values: UnsafePointer<ArrowArray>
    ) throws(SIPCError) -> Bool {
        let dictionary = shapes.dictionaries[index]
        var walk = BodyWalk(made)
        let length = Int(values.pointee.length)
        walk.body.length = Int64(length)
        if dictionary.isWrapped { walk.appendWrapper(length) }
        try walk.append(values, dictionary.nodes, dictionary.isWrapped ? 1 : 0, from: 0, count: length, before: 0)
        var isNew = false
        for (inner, values) in walk.dictionaries where try append(dictionary: inner, values) { isNew = true }
        if !isNew, let last = lastDictionaries[index], last.extents == walk.extents, last.body == walk.body {
            return false
        }
        try builder.append(dictionary: dictionary.id, walk.body)
        extents += walk.extents
        columns += repeatElement(-1, count: walk.extents.count)
        lastDictionaries[index] = Collected(body: walk.body, extents: walk.extents)
        dictionaryBatches[index] = Int(builder.batches)
        return true
    }
}

/// Collects the nodes and buffers of one message.
struct BodyWalk {
    var body = Body()
    /// How far the arrays that come next are narrowed.
    var narrowing = Narrowing.none
    /// About how many bits further narrowing would save.
    var slackBits = 0
    /// Whether there were views whose content wasn't read.
    var hasViews = false
    let made: MadeMemory
    private(set) var extents: [Extent] = []
    /// The dictionaries met on the way: index into `Shapes.dictionaries`, and the values.
    private(set) var dictionaries: [(Int, UnsafePointer<ArrowArray>)] = []

    init(_ made: MadeMemory) { self.made = made }

    /// The struct that wraps the values of a dictionary that needs one.
    mutating func appendWrapper(_ length: Int) {
        body.nodes += [Int64(length), 0]
        body.nodeOffsets.append(0)
        append(Extent(address: 0, bytes: 0), canonicalBytes: 0)
    }

    /// The part of an array that a message holds.
    struct Window {
        /// Its first slot, counted from the start of the buffers.
        let start: Int
        let count: Int
        /// How many slots before `start` the referenced buffers hold.
        let skipped: Int

        /// First slot that the referenced buffers hold.
        var first: Int { start - skipped }
    }

    /// Adds the slots `from ..< from + count` of an array (not counting its own offset).
    /// - Parameter before: how many slots before them the buffers have to hold too, because the parent's do.
    /// - Parameter before: how many slots before them the buffers have to hold, since a parent's do.
    mutating func append(
        _ raw: UnsafePointer<ArrowArray>, _ shapes: [Shape], _ index: Int, from place: Int, count: Int, before: Int
    ) throws(SIPCError) {
        let shape = shapes[index]
        let from = count == 0 ? 0 : place
        let node = try ArrowNode(raw, shape.layout, childCount: Self.childCount(shapes, index))
        guard from >= before, from <= node.length, count <= node.length - from else {
            throw .invalidTable("an array of \(node.length) values is too short for its parent")
        }
        let nullCount = shape.layout == .null ? count : try node.nullCount(from: from, count: count)
        let start = node.offset + from
        var skipped = before
        if count > 0 {
            if shape.layout == .runEnd {
                skipped = start
            } else if shape.layout == .bits || (shape.layout.hasValidity && nullCount > 0) {
                skipped += (start - before) & 7
            }
        }
        let window = Window(start: start, count: count, skipped: skipped)
        body.nodes.append(Int64(count))
        body.nodes.append(Int64(nullCount))
        body.nodeOffsets.append(UInt64(skipped))
        if shape.layout.hasValidity {
            if nullCount > 0 { try append(node, 0, window, bits: true) } else { appendEmpty() }
        }
        let ranges = try appendBuffers(node, shapes, index, window)
        if shape.dictionary >= 0 { dictionaries.append((shape.dictionary, try node.dictionary())) }
        if shape.layout == .runEnd {
            try appendRuns(node, shapes, index, window, before: before)
        } else {
            try appendChildren(node, shapes, index, window, ranges)
        }
    }

    private static func childCount(_ shapes: [Shape], _ index: Int) -> Int {
        var count = 0
        var child = index + 1
        while child < shapes[index].next {
            count += 1
            child = shapes[child].next
        }
        return count
    }

    /// - Returns: the slots that are needed of each child, where the buffers say that.
    private mutating func appendBuffers(
        _ node: ArrowNode, _ shapes: [Shape], _ index: Int, _ window: Window
    ) throws(SIPCError) -> [Range<Int>] {
        switch shapes[index].layout {
        case .null, .fixedSizeList, .structure, .runEnd: break
        case .bits: try append(node, 1, window, bits: true)
        case .fixed(let width): try append(node, 1, window, width: width)
        case .variable(let width): try appendVariable(node, width, window)
        case .view: try appendViews(node, window)
        case .list(let width): return [try appendList(node, width, shapes, index, window)]
        case .listView(let width): return [try appendListViews(node, width, shapes, index, window)]
        case .sparseUnion: try append(node, 0, window, width: 1)
        case .denseUnion: return try appendDenseUnion(node, shapes, index, window)
        }
        return []
    }

    private mutating func appendChildren(
        _ node: ArrowNode, _ shapes: [Shape], _ index: Int, _ window: Window, _ ranges: [Range<Int>]
    ) throws(SIPCError) {
        var child = index + 1
        var position = 0
        while child < shapes[index].next {
            let raw = try node.child(position)
            switch shapes[index].layout {
            case .structure, .sparseUnion:
                try append(raw, shapes, child, from: window.start, count: window.count, before: window.skipped)
            case .fixedSizeList(let size):
                try append(
                    raw, shapes, child, from: window.start * size, count: window.count * size,
                    before: window.skipped * size)
            default:
                let range = ranges[position]
                try append(raw, shapes, child, from: range.lowerBound, count: range.count, before: 0)
            }
            position += 1
            child = shapes[child].next
        }
    }

    /// The children of a run-end encoded array: the runs that its window, and the slots before it, lie in.
    private mutating func appendRuns(
        _ node: ArrowNode, _ shapes: [Shape], _ index: Int, _ window: Window, before: Int
    ) throws(SIPCError) {
        guard case .fixed(let width) = shapes[index + 1].layout else { preconditionFailure("run ends of no width") }
        let ends = try ArrowNode(node.child(0), .fixed(bytes: width), childCount: 0)
        var first = 0
        var firstOwn = 0
        var last = -1
        if window.count > 0 {
            first = try ends.run(of: window.start - before, width)
            firstOwn = before == 0 ? first : try ends.run(of: window.start, width)
            last = try ends.run(of: window.start + window.count - 1, width)
        }
        let count = last - firstOwn + 1
        try append(node.child(0), shapes, index + 1, from: firstOwn, count: count, before: firstOwn - first)
        try append(
            node.child(1), shapes, shapes[index + 1].next, from: firstOwn, count: count, before: firstOwn - first)
    }

    // MARK: - Buffers

    private mutating func append(_ extent: Extent, canonicalBytes: Int) {
        extents.append(extent.bytes == 0 ? Extent(address: 0, bytes: 0) : extent)
        body.bufferBytes.append(Int64(canonicalBytes))
    }

    mutating func appendEmpty() { append(Extent(address: 0, bytes: 0), canonicalBytes: 0) }

    /// Some bytes of a buffer.
    mutating func append(_ node: ArrowNode, _ index: Int, bytes: Range<Int>) throws(SIPCError) {
        if bytes.isEmpty { return appendEmpty() }
        let address = try node.buffer(index) + bytes.lowerBound
        append(Extent(address: UInt(bitPattern: address), bytes: bytes.count), canonicalBytes: bytes.count)
    }

    /// A buffer that was made, which has `width` bytes for each slot that the window holds, and for `extra` more.
    mutating func append(_ made: UnsafeMutableRawBufferPointer, _ window: Window, width: Int, extra: Int = 0) {
        let extent = Extent(address: UInt(bitPattern: made.baseAddress), bytes: made.count, isMade: true)
        append(extent, canonicalBytes: (window.count + extra) * width)
    }

    /// A whole buffer that was made.
    mutating func append(_ made: UnsafeMutableRawBufferPointer) {
        let extent = Extent(address: UInt(bitPattern: made.baseAddress), bytes: made.count, isMade: true)
        append(extent, canonicalBytes: made.count)
    }

    /// A buffer of one bit per slot.
    private mutating func append(_ node: ArrowNode, _ index: Int, _ window: Window, bits: Bool) throws(SIPCError) {
        if window.count == 0 { return appendEmpty() }
        let address = try node.buffer(index) + window.first / 8
        append(
            Extent(address: UInt(bitPattern: address), bytes: (window.skipped + window.count + 7) / 8),
            canonicalBytes: (window.count + 7) / 8)
    }

    /// A buffer of `width` bytes per slot, and of `extra` slots more.
    mutating func append(
        _ node: ArrowNode, _ index: Int, _ window: Window, width: Int, extra: Int = 0
    ) throws(SIPCError) {
        if window.count == 0 || width == 0 { return appendEmpty() }
        let address = try node.buffer(index) + window.first * width
        append(
            Extent(address: UInt(bitPattern: address), bytes: (window.skipped + window.count + extra) * width),
            canonicalBytes: (window.count + extra) * width)
    }
}
