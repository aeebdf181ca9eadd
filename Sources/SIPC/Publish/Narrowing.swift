import CArrow

/// How far a column is narrowed to the values that its rows name. Windows of bits and of values of a fixed width always are, and
/// bytes after the last value of text and of lists are always left out.
enum Narrowing {
    /// No further: bytes before the first value stay, and no offset is changed.
    case none
    /// As far as possible without making a buffer anew.
    case free
    /// Offsets and views are made anew if that saves at least as much as it takes; lists begin where a byte of a bitmap does.
    case full
    /// As `full` but to the value, for a table that is written somewhere else anyway.
    case exact
}

/// Buffers that were made while a table was collected. They live as long as this object does.
final class MadeMemory {
    private(set) var pieces: [UnsafeMutableRawBufferPointer] = []
    /// The bytes of all these buffers.
    private(set) var bytes = 0

    /// A new buffer of zeros.
    func make(bytes count: Int) -> UnsafeMutableRawBufferPointer {
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: Container.alignment)
        piece.initializeMemory(as: UInt8.self, repeating: 0)
        pieces.append(piece)
        bytes += count
        return piece
    }

    /// Frees all buffers that were made so far.
    func free() {
        for piece in pieces { piece.deallocate() }
        pieces = []
        bytes = 0
    }

    deinit { free() }
}

extension BodyWalk {
    /// Whether a saving is worth the `made` bytes that it takes anew.
    private func isWorth(_ saved: Int, made: Int) -> Bool {
        switch narrowing {
        case .none, .free: false
        case .full: saved > 0 && saved >= made
        // The new bytes are written once and gone: nobody has to hold them.
        case .exact: saved > 0 && saved >= made / 4
        }
    }

    /// The slots whose values must stay readable. Readers may also look at slots before the first one, as they do with those
    /// inside a struct; a table that is written somewhere else leaves them out.
    func readable(_ window: Window) -> Range<Int> {
        let isExact = if case .exact = narrowing { true } else { false }
        return (isExact ? window.start : window.first)..<(window.start + window.count)
    }

    /// Notes that so many slots of so many bits might be left out.
    mutating func loosen(_ slots: Int, _ bits: Int) {
        slackBits = min(slackBits, Int.max / 2) + min(Self.product(slots, bits), Int.max / 4)
    }

    /// The product, or the largest number: slots that a run holds need no memory, so that there may be any number.
    private static func product(_ slots: Int, _ bits: Int) -> Int {
        let (product, overflow) = slots.multipliedReportingOverflow(by: bits)
        return overflow ? .max : product
    }

    // MARK: - Text, lists

    /// The offsets and the data of text and binary values.
    mutating func appendVariable(_ node: ArrowNode, _ width: Int, _ window: Window) throws(SIPCError) {
        guard window.count > 0 else {
            appendEmpty()
            return appendEmpty()
        }
        let range = try node.offsets(width, window.start, window.count)
        let slots = window.skipped + window.count + 1
        guard isWorth(range.lowerBound, made: slots * width) else {
            loosen(range.lowerBound, 8)
            try append(node, 1, window, width: width, extra: 1)
            return try append(node, 2, bytes: 0..<range.upperBound)
        }
        append(try rebased(node, width, window, by: range.lowerBound), window, width: width, extra: 1)
        try append(node, 2, bytes: range)
    }

    /// The offsets of lists. Returns the slots that are needed of the child.
    mutating func appendList(
        _ node: ArrowNode, _ width: Int, _ shapes: [Shape], _ index: Int, _ window: Window
    ) throws(SIPCError) -> Range<Int> {
        guard window.count > 0 else {
            appendEmpty()
            return 0..<0
        }
        let range = try node.offsets(width, window.start, window.count)
        let slots = window.skipped + window.count + 1
        let first = try aligned(range.lowerBound, in: node.child(0))
        let bits = Self.slotBits(shapes, index + 1)
        guard isWorth(Self.product(first, bits) / 8, made: slots * width) else {
            loosen(first, bits)
            try append(node, 1, window, width: width, extra: 1)
            return 0..<range.upperBound
        }
        append(try rebased(node, width, window, by: first), window, width: width, extra: 1)
        return first..<range.upperBound
    }

    /// Offsets less `base`; those of slots before the window's first are 0.
    private func rebased(
        _ node: ArrowNode, _ width: Int, _ window: Window, by base: Int
    ) throws(SIPCError) -> UnsafeMutableRawBufferPointer {
        let from = try node.buffer(1)
        let new = made.make(bytes: (window.skipped + window.count + 1) * width)
        for slot in 0...window.count {
            Self.store(
                ArrowNode.number(from, window.start + slot, width) &- base, new, window.skipped + slot, width)
        }
        return new
    }

    private static func store(_ value: Int, _ buffer: UnsafeMutableRawBufferPointer, _ index: Int, _ width: Int) {
        if width == 4 {
            buffer.storeBytes(of: Int32(truncatingIfNeeded: value), toByteOffset: index * 4, as: Int32.self)
        } else {
            buffer.storeBytes(of: Int64(value), toByteOffset: index * 8, as: Int64.self)
        }
    }

    /// The first slot to keep of a child that is needed from `first` on: rounded down, so that its bitmaps begin with a byte.
    private func aligned(_ first: Int, in child: UnsafePointer<ArrowArray>) -> Int {
        if case .exact = narrowing { return first }
        let offset = Int(child.pointee.offset)
        return max(0, (offset + first) & ~7 - offset)
    }

    /// About how many bits a slot takes, its children's included.
    private static func slotBits(_ shapes: [Shape], _ index: Int) -> Int {
        var inner = 0
        var child = index + 1
        while child < shapes[index].next {
            inner += slotBits(shapes, child)
            child = shapes[child].next
        }
        return switch shapes[index].layout {
        case .null: 0
        case .bits: 1
        case .fixed(let bytes): 8 * bytes
        case .variable(let offsetBytes): 8 * (offsetBytes + 4)
        case .view: 128
        case .list(let offsetBytes): 8 * offsetBytes + inner
        case .listView(let offsetBytes): 16 * offsetBytes
        case .fixedSizeList(let count): min(product(inner, count), 1 << 20)
        case .structure: inner
        case .sparseUnion: 8 + inner
        case .denseUnion: 48
        case .runEnd: 8
        }
    }

    // MARK: - List views, dense unions

    /// The offsets and sizes of list views. Returns the slots that are needed of the child.
    mutating func appendListViews(
        _ node: ArrowNode, _ width: Int, _ shapes: [Shape], _ index: Int, _ window: Window
    ) throws(SIPCError) -> Range<Int> {
        let length = Int(try node.child(0).pointee.length)
        let whole = window.count == 0 ? 0..<0 : 0..<length
        var (needed, end) = (whole, whole.upperBound)
        let bits = Self.slotBits(shapes, index + 1)
        if case .none = narrowing {
            if whole.count / 8 > window.count { loosen(whole.count, bits) }
        } else if window.count > 0 {
            (needed, end) = try listViewRange(node, width, window, length) ?? (whole, whole.upperBound)
        }
        let first = try aligned(needed.lowerBound, in: node.child(0))
        let made = 2 * (window.skipped + window.count) * width
        guard isWorth(Self.product(first + end - needed.upperBound, bits) / 8, made: made) else {
            try append(node, 1, window, width: width)
            try append(node, 2, window, width: width)
            return 0..<end
        }
        let (offsets, sizes) = try rebasedViews(node, width, window, by: first)
        append(offsets, window, width: width)
        append(sizes, window, width: width)
        return first..<needed.upperBound
    }

    /// The slots of the child from the first to the last that some list has, and the end that the child must have as long as no
    /// offset is changed, because null and empty lists have offsets too. Nil when a list leaves the child.
    private func listViewRange(
        _ node: ArrowNode, _ width: Int, _ window: Window, _ length: Int
    ) throws(SIPCError) -> (needed: Range<Int>, end: Int)? {
        let (offsets, sizes) = (try node.buffer(1), try node.buffer(2))
        var (low, high, end) = (Int.max, 0, 0)
        for slot in readable(window) {
            let (offset, size) = (ArrowNode.number(offsets, slot, width), ArrowNode.number(sizes, slot, width))
            guard size >= 0, offset >= 0, size <= length, offset <= length - size else { return nil }
            end = max(end, offset + size)
            if size == 0 || node.validity.map({ !Bitmap.isSet($0, slot) }) == true { continue }
            low = min(low, offset)
            high = max(high, offset + size)
        }
        return (low < high ? low..<high : 0..<0, end)
    }

    /// Offsets less `base`, and sizes; of lists that are null or empty both are 0.
    private func rebasedViews(
        _ node: ArrowNode, _ width: Int, _ window: Window, by base: Int
    ) throws(SIPCError) -> (UnsafeMutableRawBufferPointer, UnsafeMutableRawBufferPointer) {
        let (offsets, sizes) = (try node.buffer(1), try node.buffer(2))
        let slots = window.skipped + window.count
        let (newOffsets, newSizes) = (made.make(bytes: slots * width), made.make(bytes: slots * width))
        for slot in 0..<window.count {
            let from = window.start + slot
            let size = ArrowNode.number(sizes, from, width)
            if size == 0 || node.validity.map({ !Bitmap.isSet($0, from) }) == true { continue }
            Self.store(ArrowNode.number(offsets, from, width) &- base, newOffsets, window.skipped + slot, width)
            Self.store(size, newSizes, window.skipped + slot, width)
        }
        return (newOffsets, newSizes)
    }

    /// The type ids and offsets of a dense union. Returns the slots that are needed of each child.
    mutating func appendDenseUnion(
        _ node: ArrowNode, _ shapes: [Shape], _ index: Int, _ window: Window
    ) throws(SIPCError) -> [Range<Int>] {
        try append(node, 0, window, width: 1)
        var whole: [Range<Int>] = []
        var bits: [Int] = []
        var child = index + 1
        for position in 0..<node.childCount {
            whole.append(window.count == 0 ? 0..<0 : 0..<Int(try node.child(position).pointee.length))
            bits.append(Self.slotBits(shapes, child))
            child = shapes[child].next
        }
        var needed = whole
        if case .none = narrowing {
            for (range, bits) in zip(whole, bits) where range.count / 8 > window.count { loosen(range.count, bits) }
        } else if window.count > 0 {
            needed = try unionRanges(node, shapes[index].typeIDs, window, whole) ?? whole
        }
        var firsts: [Int] = []
        for (position, range) in needed.enumerated() {
            firsts.append(try aligned(range.lowerBound, in: node.child(position)))
        }
        let saved = zip(firsts, bits).reduce(0) { $0 + Self.product($1.0, $1.1) / 8 / bits.count }
        guard isWorth(saved, made: 4 * (window.skipped + window.count)) else {
            try append(node, 1, window, width: 4)
            return needed.map { 0..<$0.upperBound }
        }
        append(try rebasedUnion(node, shapes[index].typeIDs, window, by: firsts), window, width: 4)
        return zip(firsts, needed).map { $0..<max($0, $1.upperBound) }
    }

    /// The slots of each child from the first to the last that are chosen; nil when a chosen one does not exist.
    private func unionRanges(
        _ node: ArrowNode, _ typeIDs: [Int32], _ window: Window, _ whole: [Range<Int>]
    ) throws(SIPCError) -> [Range<Int>]? {
        let (types, offsets) = (try node.buffer(0), try node.buffer(1))
        let children = Self.children(typeIDs)
        var ranges = [Range<Int>?](repeating: nil, count: whole.count)
        for slot in readable(window) {
            let type = ArrowNode.number(types, slot, 1)
            let offset = ArrowNode.number(offsets, slot, 4)
            guard type >= 0, children[type] >= 0, whole[children[type]].contains(offset) else { return nil }
            let known = ranges[children[type]] ?? offset..<(offset + 1)
            ranges[children[type]] = min(known.lowerBound, offset)..<max(known.upperBound, offset + 1)
        }
        return ranges.map { $0 ?? 0..<0 }
    }

    private func rebasedUnion(
        _ node: ArrowNode, _ typeIDs: [Int32], _ window: Window, by firsts: [Int]
    ) throws(SIPCError) -> UnsafeMutableRawBufferPointer {
        let (types, offsets) = (try node.buffer(0), try node.buffer(1))
        let children = Self.children(typeIDs)
        let new = made.make(bytes: (window.skipped + window.count) * 4)
        for slot in readable(window) {
            let type = ArrowNode.number(types, slot, 1)
            // The type is read a second time: a file may have been changed meanwhile.
            guard type >= 0, children[type] >= 0 else { continue }
            Self.store(ArrowNode.number(offsets, slot, 4) - firsts[children[type]], new, slot - window.first, 4)
        }
        return new
    }

    /// The child of each type id; -1 where there is none.
    private static func children(_ typeIDs: [Int32]) -> [Int] {
        var children = [Int](repeating: -1, count: 128)
        for (child, id) in typeIDs.enumerated() where (0..<128).contains(id) { children[Int(id)] = child }
        return children
    }
}
