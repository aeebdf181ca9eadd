import CArrow

/// One node of a C array, checked against the layout that its schema gives it.
struct ArrowNode {
    private let raw: UnsafePointer<ArrowArray>
    let length: Int
    let offset: Int
    let childCount: Int
    // A union's first buffer holds type ids, and some writers leave its null count open.
    private let hasValidity: Bool

    /// - Parameter childCount: how many children it must have, or nil for any number.
    init(_ raw: UnsafePointer<ArrowArray>, _ layout: Layout, childCount expected: Int?) throws(SIPCError) {
        let array = raw.pointee
        let isView = layout == .view
        guard array.release != nil else { throw .invalidTable("an array of the result was released already") }
        guard array.length >= 0, array.offset >= 0, array.length <= Int64(Int.max / 64) - array.offset else {
            throw .invalidTable("an array has length \(array.length) and offset \(array.offset)")
        }
        guard
            isView ? array.n_buffers >= 3 : array.n_buffers == Int64(layout.bufferCount),
            array.n_buffers == 0 || array.buffers != nil
        else {
            throw .invalidTable("an array has \(array.n_buffers) buffers, its type wants \(layout.bufferCount)")
        }
        guard array.n_children >= 0, array.n_children == Int64(expected ?? Int(array.n_children)),
            array.n_children == 0 || array.children != nil
        else {
            throw .invalidTable("an array has \(array.n_children) children instead of \(expected ?? 0)")
        }
        self.raw = raw
        hasValidity = layout.hasValidity
        length = Int(array.length)
        offset = Int(array.offset)
        childCount = Int(array.n_children)
    }

    func child(_ index: Int) throws(SIPCError) -> UnsafePointer<ArrowArray> {
        guard let child = raw.pointee.children[index] else {
            throw .invalidTable("child \(index) of an array is missing")
        }
        return UnsafePointer(child)
    }

    func dictionary() throws(SIPCError) -> UnsafePointer<ArrowArray> {
        guard let values = raw.pointee.dictionary, values.pointee.length >= 0 else {
            throw .invalidTable("a dictionary-encoded array has no dictionary")
        }
        return UnsafePointer(values)
    }

    /// The start of a buffer that is not empty.
    func buffer(_ index: Int) throws(SIPCError) -> UnsafeRawPointer {
        guard let buffer = raw.pointee.buffers[index] else {
            throw .invalidTable("buffer \(index) of an array of \(length) values is missing")
        }
        return buffer
    }

    /// How many of the slots `from ..< from + count` (not counting the array's offset) are null.
    func nullCount(from: Int, count: Int) throws(SIPCError) -> Int {
        let known = raw.pointee.null_count
        if known == 0 || count == 0 || !hasValidity { return 0 }
        guard let bitmap = raw.pointee.buffers[0] else { return 0 }
        if known > 0, from == 0, count == length { return Int(known) }
        return count - Bitmap.countOnes(bitmap, from: offset + from, count: count)
    }

    /// Number `index` of a buffer of signed numbers.
    static func number(_ buffer: UnsafeRawPointer, _ index: Int, _ width: Int) -> Int {
        let at = buffer + index * width
        return switch width {
        case 1: Int(at.load(as: Int8.self))
        case 4: Int(at.loadUnaligned(as: Int32.self))
        default: Int(at.loadUnaligned(as: Int64.self))
        }
    }

    /// The part of the data, or of the child, that the slots `start ..< start + count` (at least one) of the buffers name.
    func offsets(_ width: Int, _ start: Int, _ count: Int) throws(SIPCError) -> Range<Int> {
        let all = try buffer(1)
        let (first, last) = (Self.number(all, start, width), Self.number(all, start + count, width))
        // The array's producer has vouched for its last offset; those in between may be anything.
        guard first >= 0, first <= last, last <= Self.number(all, offset + length, width) else {
            throw .invalidTable("the offsets of an array go from \(first) to \(last)")
        }
        return first..<last
    }

    /// The bitmap that says which slots of the buffers are null; nil if none is.
    var validity: UnsafeRawPointer? { hasValidity ? raw.pointee.buffers[0] : nil }

    /// The lengths of a view array's data buffers.
    func variadicLengths() throws(SIPCError) -> [Int] {
        let count = Int(raw.pointee.n_buffers) - 3
        if count == 0 { return [] }
        let lengths = try buffer(2 + count)
        var all: [Int] = []
        for index in 0..<count {
            let length = lengths.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)
            guard length >= 0 else { throw .invalidTable("a data buffer of a view array has \(length) bytes") }
            all.append(Int(length))
        }
        return all
    }

    /// The run, in an array of run ends, that the slot lies in.
    func run(of slot: Int, _ width: Int) throws(SIPCError) -> Int {
        if length == 0 { throw .invalidTable("a run-end encoded array has values and no runs") }
        let ends = try buffer(1)
        var low = 0
        var high = length
        while low < high {
            let middle = (low + high) / 2
            let at = ends + (offset + middle) * width
            let end =
                width == 2
                ? Int(at.loadUnaligned(as: Int16.self))
                : width == 4 ? Int(at.loadUnaligned(as: Int32.self)) : Int(at.loadUnaligned(as: Int64.self))
            if end > slot { high = middle } else { low = middle + 1 }
        }
        guard low < length else { throw .invalidTable("the runs of a run-end encoded array end before slot \(slot)") }
        return low
    }
}
