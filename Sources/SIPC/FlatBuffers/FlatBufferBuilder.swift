/// Writes a FlatBuffer from its end to its beginning, as the format's offsets ask for.
struct FlatBufferBuilder {
    /// Where an object lies: its distance from the end of the buffer.
    struct Offset { fileprivate let fromEnd: Int }

    private var storage: [UInt8]
    private var head: Int
    private var vtables: [[UInt16]: Int] = [:]
    private var slots: [Int] = []
    private var tableStart = 0

    init(capacity: Int = 1024) {
        storage = [UInt8](repeating: 0, count: capacity)
        head = capacity
    }

    private var size: Int { storage.count - head }

    private mutating func reserve(_ bytes: Int) {
        guard bytes > head else { return }
        let used = size
        let capacity = max(storage.count * 2, used + bytes)
        var larger = [UInt8](repeating: 0, count: capacity)
        larger.replaceSubrange((capacity - used)..<capacity, with: storage[head...])
        storage = larger
        head = capacity - used
    }

    /// Pads so that what follows `bytes` further bytes is aligned, counted from the end of the buffer.
    private mutating func align(_ alignment: Int, after bytes: Int) {
        let padding = -(size + bytes) & (alignment - 1)
        reserve(padding + bytes)
        head -= padding
    }

    private mutating func push<T: FixedWidthInteger>(_ value: T) {
        align(MemoryLayout<T>.size, after: MemoryLayout<T>.size)
        head -= MemoryLayout<T>.size
        storage.storeLittle(value, at: head)
    }

    private mutating func push(_ offset: Offset) {
        align(4, after: 4)
        push(UInt32(size + 4 - offset.fromEnd))
    }

    mutating func string(_ bytes: some Collection<UInt8>) -> Offset {
        align(4, after: bytes.count + 1)
        head -= bytes.count + 1
        storage[head + bytes.count] = 0
        storage.replaceSubrange(head..<(head + bytes.count), with: bytes)
        push(UInt32(bytes.count))
        return Offset(fromEnd: size)
    }

    mutating func vector(_ offsets: [Offset]) -> Offset {
        align(4, after: 4 * offsets.count)
        for offset in offsets.reversed() { push(offset) }
        push(UInt32(offsets.count))
        return Offset(fromEnd: size)
    }

    /// A vector of integers, or of structs made of 64-bit integers when `perElement` of them make one element.
    mutating func vector<T: FixedWidthInteger>(_ values: [T], perElement: Int = 1) -> Offset {
        let bytes = values.count * MemoryLayout<T>.size
        align(max(4, MemoryLayout<T>.size), after: bytes)
        head -= bytes
        for (index, value) in values.enumerated() {
            storage.storeLittle(value, at: head + index * MemoryLayout<T>.size)
        }
        push(UInt32(values.count / perElement))
        return Offset(fromEnd: size)
    }

    mutating func startTable(slots count: Int) {
        precondition(slots.isEmpty, "tables do not nest: finish the inner one first")
        slots = [Int](repeating: 0, count: count)
        tableStart = size
    }

    mutating func add<T: FixedWidthInteger>(_ slot: Int, _ value: T, default omitted: T = 0) {
        guard value != omitted else { return }
        push(value)
        slots[slot] = size
    }

    mutating func add(_ slot: Int, _ value: Bool) { add(slot, UInt8(value ? 1 : 0)) }

    mutating func add(_ slot: Int, _ offset: Offset?) {
        guard let offset else { return }
        push(offset)
        slots[slot] = size
    }

    mutating func endTable() -> Offset {
        push(Int32(0))
        let table = size
        while slots.last == 0 { slots.removeLast() }
        var entries = [UInt16(4 + 2 * slots.count), UInt16(table - tableStart)]
        for slot in slots { entries.append(slot == 0 ? 0 : UInt16(table - slot)) }
        slots = []
        let vtable: Int
        if let known = vtables[entries] {
            vtable = known
        } else {
            for entry in entries.reversed() { push(entry) }
            vtable = size
            vtables[entries] = vtable
        }
        storage.storeLittle(Int32(vtable - table), at: storage.count - table)
        return Offset(fromEnd: table)
    }

    /// The finished buffer, whose size is a multiple of 8.
    consuming func finish(_ root: Offset) -> [UInt8] {
        align(8, after: 4)
        push(root)
        return Array(storage[head...])
    }
}
