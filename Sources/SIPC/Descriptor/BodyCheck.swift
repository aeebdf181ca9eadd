/// Checks the nodes and buffers of one message against the shape of its columns: that every reference is long enough for
/// the slots it must hold, and that the metadata describes the contiguous body that a standard stream would have.
struct BodyCheck {
    /// The greatest length of an array, so that the sum of two lengths does not overflow.
    static let slotsMax: Int64 = 1 << 61

    private let bytes: [UInt8]
    private let layout: ContainerLayout
    private let view: MessageView
    private let label: Int
    private let variadicCount: Int
    private var node = 0
    private var buffer = 0
    private var variadic = 0
    private var bodyBytes: Int64 = 0

    init(_ bytes: [UInt8], _ layout: ContainerLayout, _ view: MessageView, label: Int, variadicCount: Int) {
        self.bytes = bytes
        self.layout = layout
        self.view = view
        self.label = label
        self.variadicCount = variadicCount
    }

    mutating func run(_ shapes: [Shape], bodyBytes declared: Int64) throws(SIPCError) {
        guard view.length >= 0, view.length <= Self.slotsMax else {
            throw .malformed("message \(label) has \(view.length) rows")
        }
        while node < shapes.count { try check(shapes, length: view.length, before: 0) }
        guard buffer == view.referenceCount, variadic == variadicCount, bodyBytes == declared else {
            throw .malformed("message \(label) lists other buffers or another body than its columns have")
        }
    }

    /// Checks the node at hand and all it contains.
    ///
    /// - Parameters:
    ///   - length: the slots it must have, or nil when its parent's offsets may name any number.
    ///   - before: slots of its parent's window that lie before the parent's first.
    private mutating func check(_ shapes: [Shape], length expected: Int64?, before: Int64) throws(SIPCError) {
        let shape = shapes[node]
        let length = bytes.loadLittle(view.nodes + node * 16, as: Int64.self)
        let nullCount = bytes.loadLittle(view.nodes + node * 16 + 8, as: Int64.self)
        let skipped = try skippedSlots()
        guard length >= 0, length <= Self.slotsMax, length == expected ?? length else {
            throw fault("has \(length) slots", expected.map { "\($0)" })
        }
        guard nullCount >= 0, nullCount <= length else { throw fault("has \(nullCount) nulls in \(length) slots") }
        guard skipped >= before else { throw fault("begins after its parent's window") }
        let window = Window(skipped: skipped, length: length)
        node += 1
        if shape.layout.hasValidity {
            let isAbsent = nextReferenceIsEmpty
            guard !isAbsent || nullCount == 0 else {
                throw fault("has \(nullCount) nulls and no validity buffer", at: -1)
            }
            try take(window, .bits, "validity", mayBeEmpty: true)
        }
        try checkBuffers(shape, window)
        try checkChildren(shapes, shape, window)
    }

    private mutating func checkBuffers(_ shape: Shape, _ window: Window) throws(SIPCError) {
        switch shape.layout {
        case .null, .fixedSizeList, .structure, .runEnd: break
        case .bits: try take(window, .bits, "values")
        case .fixed(let width): try take(window, .bytes(width), "values")
        case .variable(let width):
            try take(window, .offsets(width), "offsets", mayBeEmpty: window.length == 0)
            try takeAny()
        case .view:
            try take(window, .bytes(16), "views")
            guard variadic < variadicCount else { throw fault("has no count of data buffers", at: -1) }
            let count = bytes.loadLittle(view.variadicCounts + variadic * 8, as: Int64.self)
            guard count >= 0, count <= Int64(view.referenceCount - buffer) else {
                throw fault("has \(count) data buffers", at: -1)
            }
            variadic += 1
            for _ in 0..<count { try takeAny() }
        case .list(let width): try take(window, .offsets(width), "offsets", mayBeEmpty: window.length == 0)
        case .listView(let width):
            try take(window, .bytes(width), "offsets")
            try take(window, .bytes(width), "sizes")
        case .sparseUnion: try take(window, .bytes(1), "type ids")
        case .denseUnion:
            try take(window, .bytes(1), "type ids")
            try take(window, .bytes(4), "offsets")
        }
    }

    private mutating func checkChildren(
        _ shapes: [Shape], _ shape: Shape, _ window: Window
    ) throws(SIPCError) {
        switch shape.layout {
        case .structure, .sparseUnion:
            while node < shape.next { try check(shapes, length: window.length, before: window.skipped) }
        case .fixedSizeList(let count):
            try check(
                shapes, length: try product(window.length, count), before: try product(window.skipped, count))
        case .runEnd:
            let runs = bytes.loadLittle(view.nodes + node * 16, as: Int64.self)
            let nulls = bytes.loadLittle(view.nodes + node * 16 + 8, as: Int64.self)
            guard runs > 0 || window.length == 0, nulls == 0 else {
                throw fault("has no runs, or a null among their ends")
            }
            let skippedRuns = try skippedSlots()
            try check(shapes, length: runs, before: 0)
            try check(shapes, length: runs, before: skippedRuns)
        default:
            while node < shape.next { try check(shapes, length: nil, before: 0) }
        }
    }

    private func skippedSlots() throws(SIPCError) -> Int64 {
        guard let first = view.firstNodeOffset else { return 0 }
        let raw = bytes.loadLittle(layout.nodeOffsets + (first + node) * 8, as: UInt64.self)
        guard raw <= UInt64(Self.slotsMax) else { throw fault("skips \(raw) slots") }
        return Int64(raw)
    }

    private func product(_ slots: Int64, _ width: Int) throws(SIPCError) -> Int64 {
        let (value, overflow) = slots.multipliedReportingOverflow(by: Int64(width))
        guard !overflow, value <= Self.slotsMax else { throw fault("has too many slots", at: -1) }
        return value
    }

    private func fault(_ what: String, _ instead: String? = nil, at shift: Int = 0) -> SIPCError {
        .malformed(
            "node \(node + shift) of message \(label) \(what)" + (instead.map { " instead of \($0)" } ?? ""))
    }

    // MARK: - Buffers

    /// The slots that a node's buffers hold: those before its first, and its own.
    private struct Window {
        let skipped: Int64
        let length: Int64
    }

    private enum Unit {
        case bits
        case bytes(Int)
        case offsets(Int)
    }

    private func size(_ slots: Int64, _ unit: Unit) throws(SIPCError) -> Int64 {
        switch unit {
        case .bits: (slots + 7) / 8
        case .bytes(let width): try product(slots, width)
        case .offsets(let width): try product(slots + 1, width)
        }
    }

    private func referencedBytes() throws(SIPCError) -> Int64 {
        guard buffer < view.referenceCount else {
            throw .malformed("message \(label) has fewer buffers than its columns need")
        }
        let at = layout.references + (view.firstReference + buffer) * Container.referenceBytes
        // References were checked to lie in their segments, whose sizes are limited.
        return Int64(bytes.loadLittle(at + 16, as: UInt64.self))
    }

    private var nextReferenceIsEmpty: Bool {
        buffer < view.referenceCount
            && bytes.loadLittle(
                layout.references + (view.firstReference + buffer) * Container.referenceBytes + 16, as: UInt64.self)
                == 0
    }

    /// A buffer that holds one value per slot. Without skipped slots it may be longer than needed.
    private mutating func take(
        _ window: Window, _ unit: Unit, _ what: String, mayBeEmpty: Bool = false
    ) throws(SIPCError) {
        let whole = try size(window.skipped + window.length, unit)
        let referenced = try referencedBytes()
        if mayBeEmpty && referenced == 0 { return try place(0) }
        guard referenced >= whole else {
            throw fault("has a \(what) buffer of \(referenced) bytes", "\(whole)", at: -1)
        }
        try place(window.skipped == 0 ? referenced : try size(window.length, unit))
    }

    /// A buffer of any length.
    private mutating func takeAny() throws(SIPCError) { try place(try referencedBytes()) }

    /// Checks that the metadata has the next buffer, of `length` bytes, where a contiguous body has it.
    private mutating func place(_ length: Int64) throws(SIPCError) {
        let at = view.buffers + buffer * 16
        guard bytes.loadLittle(at, as: Int64.self) == bodyBytes, bytes.loadLittle(at + 8, as: Int64.self) == length
        else {
            throw .malformed("buffer \(buffer) of message \(label) is not where a contiguous body has it")
        }
        let (end, overflow) = bodyBytes.addingReportingOverflow(length + Int64(Container.padding(Int(length))))
        guard !overflow else { throw .malformed("message \(label) has a body of more than 2^63 bytes") }
        bodyBytes = end
        buffer += 1
    }
}
