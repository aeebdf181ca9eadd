import CArrow

/// The memory that exported arrays point into; it lives as long as the last of them.
final class TableSource: Sendable {
    let descriptor: Descriptor
    /// By the index that references use.
    let segments: [MappedSegment]

    /// Checks that every segment the descriptor names is there, and as long as it says.
    init(_ descriptor: Descriptor, _ segments: [MappedSegment]) throws(SIPCError) {
        var byID: [UInt64: MappedSegment] = [:]
        for segment in segments { byID[segment.id] = segment }
        var ordered: [MappedSegment] = []
        for segment in descriptor.segments {
            guard let mapped = byID[segment.id] else {
                throw .malformed("it names segment \(segment.id), which this process was not given")
            }
            guard UInt64(mapped.bytes) >= segment.bytes else {
                throw .malformed("segment \(segment.id) has \(mapped.bytes) bytes, it says \(segment.bytes)")
            }
            ordered.append(mapped)
        }
        self.descriptor = descriptor
        self.segments = ordered
    }

    func content(_ reference: Reference) -> UnsafeRawBufferPointer {
        if reference.length == 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
        let offset = Int(reference.offset)
        return UnsafeRawBufferPointer(
            rebasing: segments[Int(reference.segment)].content[offset..<(offset + Int(reference.length))])
    }
}

/// An address for buffers of no bytes, which some readers want to be somewhere, and for the one offset of an empty list.
///
/// Never freed and never written; `nonisolated(unsafe)` holds since it is constant.
private nonisolated(unsafe) let nothing: UnsafeRawPointer = {
    let zeros = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    zeros.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    return UnsafeRawPointer(zeros)
}()

/// The memory that one exported array owns; its release callback frees it.
private final class ArrayOwner {
    let source: TableSource
    let buffers: UnsafeMutablePointer<UnsafeRawPointer?>
    let variadicBytes: UnsafeMutablePointer<Int64>
    let children: UnsafeMutablePointer<UnsafeMutablePointer<ArrowArray>?>
    /// The children, and in one place more the dictionary.
    let arrays: UnsafeMutablePointer<ArrowArray>
    let childCount: Int

    init(_ source: TableSource, _ buffers: [UnsafeRawPointer?], variadicBytes: [Int64]?, childCount: Int) {
        self.source = source
        self.childCount = childCount
        self.buffers = .allocate(capacity: buffers.count + 1)
        self.buffers.initialize(from: buffers, count: buffers.count)
        self.variadicBytes = .allocate(capacity: variadicBytes?.count ?? 0)
        if let variadicBytes {
            self.variadicBytes.initialize(from: variadicBytes, count: variadicBytes.count)
            self.buffers[buffers.count] = UnsafeRawPointer(self.variadicBytes)
        }
        children = .allocate(capacity: childCount)
        arrays = .allocate(capacity: childCount + 1)
        arrays.initialize(repeating: ArrowArray(), count: childCount + 1)
        for index in 0..<childCount { (children + index).initialize(to: arrays + index) }
    }

    /// Releases the arrays that the receiver has not moved away.
    func releaseArrays() {
        for index in 0...childCount {
            if let release = arrays[index].release { release(arrays + index) }
        }
    }

    deinit {
        buffers.deallocate()
        variadicBytes.deallocate()
        children.deallocate()
        arrays.deallocate()
    }
}

private func releaseArray(_ raw: UnsafeMutablePointer<ArrowArray>?) {
    guard let raw, raw.pointee.release != nil, let data = raw.pointee.private_data else { return }
    let owner = Unmanaged<ArrayOwner>.fromOpaque(data)
    owner.takeUnretainedValue().releaseArrays()
    raw.pointee.release = nil
    owner.release()
}

/// Turns one message into C arrays whose buffers lie where the references say.
struct ArrayExport {
    private let source: TableSource
    private let message: MessageView
    /// The message that defines each dictionary at this point of the stream.
    private let dictionaries: [MessageView?]
    private let shapes: [Shape]
    private var reference: Int
    private var variadic = 0

    /// Fills `out` with the record batch `message`.
    static func batch(
        _ source: TableSource, _ message: MessageView, _ dictionaries: [MessageView?],
        to out: UnsafeMutablePointer<ArrowArray>
    ) throws(SIPCError) {
        var export = ArrayExport(source, message, dictionaries)
        var roots: [Int] = []
        var node = 0
        while node < export.shapes.count {
            roots.append(node)
            node = export.shapes[node].next
        }
        let owner = ArrayOwner(source, [nil], variadicBytes: nil, childCount: roots.count)
        do throws(SIPCError) {
            for (index, root) in roots.enumerated() { try export.export(root, before: 0, to: owner.arrays + index) }
        } catch {
            owner.releaseArrays()
            throw error
        }
        fill(out, owner, length: message.length, nullCount: 0, offset: 0, bufferCount: 1, hasDictionary: false)
    }

    private init(_ source: TableSource, _ message: MessageView, _ dictionaries: [MessageView?]) {
        self.source = source
        self.message = message
        self.dictionaries = dictionaries
        let all = source.descriptor.shapes
        shapes = message.dictionary.map { all.dictionaries[$0].nodes } ?? all.nodes
        reference = message.firstReference
    }

    private static func fill(
        _ out: UnsafeMutablePointer<ArrowArray>, _ owner: ArrayOwner, length: Int64, nullCount: Int64, offset: Int64,
        bufferCount: Int, hasDictionary: Bool
    ) {
        out.initialize(
            to: ArrowArray(
                length: length, null_count: nullCount, offset: offset, n_buffers: Int64(bufferCount),
                n_children: Int64(owner.childCount), buffers: owner.buffers, children: owner.children,
                dictionary: hasDictionary ? owner.arrays + owner.childCount : nil, release: releaseArray,
                private_data: Unmanaged.passRetained(owner).toOpaque()))
    }

    private func length(_ node: Int) -> Int64 {
        source.descriptor.bytes.loadLittle(message.nodes + node * 16, as: Int64.self)
    }

    private mutating func nextBuffer() -> UnsafeRawBufferPointer {
        defer { reference += 1 }
        return source.content(source.descriptor.reference(reference))
    }

    /// - Parameter before: slots of the parent's window that lie before its first; this array gets them too.
    private mutating func export(
        _ node: Int, before: Int64, to out: UnsafeMutablePointer<ArrowArray>
    ) throws(SIPCError) {
        let shape = shapes[node]
        let skipped = Int64(source.descriptor.nodeOffset(message, node))
        let own = length(node)
        var contents: [UnsafeRawBufferPointer] = []
        for _ in 0..<shape.layout.bufferCount { contents.append(nextBuffer()) }
        var pointers: [UnsafeRawPointer?] = contents.map { $0.baseAddress ?? nothing }
        let isValidityAbsent = shape.layout.hasValidity && contents[0].isEmpty
        if isValidityAbsent { pointers[0] = nil }
        var variadicBytes: [Int64]?
        if shape.layout == .view {
            variadicBytes = []
            for _ in 0..<variadicCount() {
                let content = nextBuffer()
                pointers.append(content.baseAddress ?? nothing)
                variadicBytes?.append(Int64(content.count))
            }
        }
        try checkOffsets(shape, node, contents, slots: Int(skipped + own))

        var children: [Int] = []
        var child = node + 1
        while child < shape.next {
            children.append(child)
            child = shapes[child].next
        }
        let owner = ArrayOwner(source, pointers, variadicBytes: variadicBytes, childCount: children.count)
        do throws(SIPCError) {
            for (index, child) in children.enumerated() {
                let before = windowBefore(shape, node, skipped)
                try export(child, before: before, to: owner.arrays + index)
            }
            if shape.dictionary >= 0 { try exportDictionary(shape.dictionary, to: owner.arrays + owner.childCount) }
        } catch {
            owner.releaseArrays()
            throw error
        }
        let nullCount: Int64
        switch shape.layout {
        case .null: nullCount = before + own
        case _ where !shape.layout.hasValidity || isValidityAbsent: nullCount = 0
        default:
            nullCount =
                before > 0 ? -1 : source.descriptor.bytes.loadLittle(message.nodes + node * 16 + 8, as: Int64.self)
        }
        Self.fill(
            out, owner, length: before + own, nullCount: nullCount, offset: skipped - before,
            bufferCount: pointers.count + (variadicBytes == nil ? 0 : 1), hasDictionary: shape.dictionary >= 0)
    }

    /// How many slots before its first a child's window has because of its parent.
    private func windowBefore(_ shape: Shape, _ node: Int, _ skipped: Int64) -> Int64 {
        switch shape.layout {
        case .structure, .sparseUnion: skipped
        case .fixedSizeList(let count): skipped * Int64(count)
        case .runEnd: Int64(source.descriptor.nodeOffset(message, node + 1))
        default: 0
        }
    }

    private mutating func variadicCount() -> Int {
        defer { variadic += 1 }
        return Int(source.descriptor.bytes.loadLittle(message.variadicCounts + variadic * 8, as: Int64.self))
    }

    private func exportDictionary(_ index: Int, to out: UnsafeMutablePointer<ArrowArray>) throws(SIPCError) {
        guard let values = dictionaries[index] else {
            preconditionFailure("a descriptor without a dictionary was let in")
        }
        var export = ArrayExport(source, values, dictionaries)
        if source.descriptor.shapes.dictionaries[index].isWrapped { _ = export.nextBuffer() }
        try export.export(source.descriptor.shapes.dictionaries[index].isWrapped ? 1 : 0, before: 0, to: out)
    }

    // MARK: - Content that readers rely on without a look

    /// The C interface carries no buffer lengths: its readers take them from the last offset. That one is checked.
    private func checkOffsets(
        _ shape: Shape, _ node: Int, _ contents: [UnsafeRawBufferPointer], slots: Int
    ) throws(SIPCError) {
        switch shape.layout {
        case .variable(let width):
            try checkOffsets(contents[1], width, slots: slots, end: Int64(contents[2].count))
        case .list(let width):
            try checkOffsets(contents[1], width, slots: slots, end: length(node + 1))
        default: break
        }
    }

    private func checkOffsets(
        _ offsets: UnsafeRawBufferPointer, _ width: Int, slots: Int, end: Int64
    ) throws(SIPCError) {
        if offsets.isEmpty { return }
        func offset(_ index: Int) -> Int64 {
            width == 4
                ? Int64(offsets.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
                : offsets.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)
        }
        guard offset(0) >= 0, offset(0) <= offset(slots), offset(slots) <= end else {
            throw .malformed(
                "the offsets of an array run from \(offset(0)) to \(offset(slots)), its data has \(end) elements")
        }
    }
}
