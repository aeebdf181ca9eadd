/// A FlatBuffer that nobody has checked: every read is bounds-checked, and the sum of what is read is limited.
///
/// A hostile buffer may point to one table from many places, so that walking it takes exponential time. Each table,
/// vector and string that is visited is therefore charged to a budget of `budgetFactor` times the buffer's size.
struct FlatBuffer {
    private static let budgetFactor = 4

    private final class Budget {
        var bytes: Int
        init(bytes: Int) { self.bytes = bytes }
    }

    let bytes: [UInt8]
    let start: Int
    let end: Int
    private let budget: Budget

    /// The FlatBuffer is `bytes[range]`; positions are indexes into `bytes`.
    init(_ bytes: [UInt8], _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        start = range.lowerBound
        end = range.upperBound
        budget = Budget(bytes: (range.count + 64) * Self.budgetFactor)
    }

    func root() throws(SIPCError) -> FlatTable {
        try table(from: start)
    }

    /// Reads a little-endian integer at `position`.
    func load<T: FixedWidthInteger>(_ position: Int, as type: T.Type) throws(SIPCError) -> T {
        guard position >= start, position <= end - MemoryLayout<T>.size else {
            throw .malformed("FlatBuffers metadata points outside its message")
        }
        return bytes.loadLittle(position, as: type)
    }

    /// The table that the unsigned offset stored at `position` points to.
    func table(from position: Int) throws(SIPCError) -> FlatTable {
        try FlatTable(self, at: position + Int(load(position, as: UInt32.self)))
    }

    /// The vector that the unsigned offset stored at `position` points to.
    func vector(from position: Int, elementBytes: Int) throws(SIPCError) -> FlatVector {
        let at = position + Int(try load(position, as: UInt32.self))
        let count = Int(try load(at, as: UInt32.self))
        let (size, overflow) = count.multipliedReportingOverflow(by: elementBytes)
        guard !overflow, size <= end - at - 4 else {
            throw .malformed("a FlatBuffers vector of \(count) elements runs past its message")
        }
        try charge(4 + size)
        return FlatVector(buffer: self, start: at + 4, count: count, elementBytes: elementBytes)
    }

    func charge(_ size: Int) throws(SIPCError) {
        budget.bytes -= size
        guard budget.bytes >= 0 else {
            throw .malformed("FlatBuffers metadata refers to the same data over and over")
        }
    }
}

/// A vector whose extent has been checked.
struct FlatVector {
    let buffer: FlatBuffer
    /// Position of the first element.
    let start: Int
    let count: Int
    let elementBytes: Int

    var range: Range<Int> { start..<(start + count * elementBytes) }

    func load<T: FixedWidthInteger>(_ index: Int, as type: T.Type) throws(SIPCError) -> T {
        guard index >= 0, index < count else { throw .malformed("an index lies outside its FlatBuffers vector") }
        return try buffer.load(start + index * elementBytes, as: type)
    }

    func table(_ index: Int) throws(SIPCError) -> FlatTable {
        guard index >= 0, index < count else { throw .malformed("an index lies outside its FlatBuffers vector") }
        return try buffer.table(from: start + index * elementBytes)
    }
}

/// A table whose vtable and inline part have been checked.
struct FlatTable {
    let buffer: FlatBuffer
    private let position: Int
    private let inlineBytes: Int
    private let vtable: Int
    private let vtableBytes: Int

    init(_ buffer: FlatBuffer, at position: Int) throws(SIPCError) {
        self.buffer = buffer
        self.position = position
        vtable = position - Int(try buffer.load(position, as: Int32.self))
        vtableBytes = Int(try buffer.load(vtable, as: UInt16.self))
        inlineBytes = Int(try buffer.load(vtable + 2, as: UInt16.self))
        guard vtableBytes >= 4, vtable + vtableBytes <= buffer.end,
            inlineBytes >= 4, position + inlineBytes <= buffer.end
        else { throw .malformed("a FlatBuffers table runs past its message") }
        try buffer.charge(inlineBytes)
    }

    /// Position of the field in `slot`, or nil when the table leaves it out.
    private func field(_ slot: Int, bytes: Int) throws(SIPCError) -> Int? {
        let entry = 4 + slot * 2
        guard entry + 2 <= vtableBytes else { return nil }
        let offset = Int(try buffer.load(vtable + entry, as: UInt16.self))
        guard offset != 0 else { return nil }
        guard offset >= 4, offset + bytes <= inlineBytes else {
            throw .malformed("a FlatBuffers field lies outside its table")
        }
        return position + offset
    }

    func scalar<T: FixedWidthInteger>(_ slot: Int, default value: T) throws(SIPCError) -> T {
        guard let at = try field(slot, bytes: MemoryLayout<T>.size) else { return value }
        return try buffer.load(at, as: T.self)
    }

    func bool(_ slot: Int) throws(SIPCError) -> Bool { try scalar(slot, default: UInt8(0)) != 0 }

    func table(_ slot: Int) throws(SIPCError) -> FlatTable? {
        guard let at = try field(slot, bytes: 4) else { return nil }
        return try buffer.table(from: at)
    }

    func vector(_ slot: Int, elementBytes: Int) throws(SIPCError) -> FlatVector? {
        guard let at = try field(slot, bytes: 4) else { return nil }
        return try buffer.vector(from: at, elementBytes: elementBytes)
    }

    /// The bytes of a string, not checked to be UTF-8.
    func string(_ slot: Int) throws(SIPCError) -> ArraySlice<UInt8>? {
        guard let vector = try vector(slot, elementBytes: 1) else { return nil }
        return buffer.bytes[vector.range]
    }
}

extension [UInt8] {
    /// Reads a little-endian integer; traps outside the array.
    func loadLittle<T: FixedWidthInteger>(_ position: Int, as type: T.Type) -> T {
        precondition(position >= 0 && position <= count - MemoryLayout<T>.size)
        // The range was just checked, and an integer may be read from any address.
        return withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: position, as: T.self)) }
    }

    /// Overwrites a little-endian integer; traps outside the array.
    mutating func storeLittle<T: FixedWidthInteger>(_ value: T, at position: Int) {
        precondition(position >= 0 && position <= count - MemoryLayout<T>.size)
        // The range was just checked, and an integer may be written to any address.
        withUnsafeMutableBytes {
            $0.storeBytes(of: value.littleEndian, toByteOffset: position, as: T.self)
        }
    }

    mutating func appendLittle<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
