import Glibc
import Store
import System
import Testing

/// Plays a worker: fills an output segment and remembers what it wrote.
struct Producer {
    let output: OutputSegment
    private(set) var content: [UInt8]

    init(_ store: SegmentStore, _ worker: BorrowerID, bytes: Int = 4 << 20) throws {
        output = try store.makeOutputSegment(bytes: bytes, for: worker)
        content = [UInt8](repeating: 0, count: output.bytes)
    }

    /// Writes a value over a range, as a worker does through its mapping.
    mutating func write(_ range: Range<Int>, _ value: UInt8) throws {
        try content.withUnsafeMutableBytes { all in
            let part = UnsafeMutableRawBufferPointer(rebasing: all[range])
            if let base = part.baseAddress { memset(base, Int32(value), range.count) }
            try output.file.descriptor.writeAll(UnsafeRawBufferPointer(part), at: range.lowerBound)
        }
    }

    /// Makes 2 MiB pages of a range of which something is written in each 2 MiB; a busy kernel may refuse, which changes
    /// nothing but the size of the pages.
    func collapse(_ range: Range<Int>) throws {
        let mapping = try Mapping(output.file.descriptor, count: output.bytes, access: .readWrite)
        try? mapping.advise(.collapse, range)
        withExtendedLifetime(mapping) {}
    }

    func references(_ ranges: [Range<Int>]) throws -> References {
        var references = References()
        try references.add(output.id, ranges)
        return references
    }
}

extension References {
    mutating func add(_ segment: SegmentID, _ ranges: [Range<Int>]) throws {
        for range in ranges {
            try add(segment, offset: UInt64(range.lowerBound), length: UInt64(range.count))
        }
    }
}

/// A sealed descriptor, of whatever content: the store does not look into it.
func anyDescriptor(_ content: [UInt8] = [1, 2, 3]) throws -> DescriptorBox {
    DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", content))
}

/// Everything a reader can see of a file.
func visible(_ file: DescriptorBox, bytes: Int) throws -> [UInt8] { try file.descriptor.bytes(0..<bytes) }

/// Whether two contents are equal. Unlike `==` it is fast without the optimizer. Expect its result, not the call: a failed
/// expectation prints what the call was given, megabytes of it.
func same(_ left: [UInt8], _ right: [UInt8]) -> Bool { left.count == right.count && same(left, right, 0..<left.count) }

/// Whether two contents are equal in a range.
func same(_ left: [UInt8], _ right: [UInt8], _ range: Range<Int>) -> Bool {
    left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in
            let (left, right) = (left[range], right[range])
            guard let first = UnsafeRawBufferPointer(rebasing: left).baseAddress,
                let second = UnsafeRawBufferPointer(rebasing: right).baseAddress
            else { return true }
            return memcmp(first, second, range.count) == 0
        }
    }
}

/// Whether a range reads as zero.
func isZero(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    bytes.withUnsafeBytes { all in
        guard let base = all.baseAddress, !range.isEmpty else { return true }
        let first = base + range.lowerBound
        return all[range.lowerBound] == 0 && memcmp(first, first + 1, range.count - 1) == 0
    }
}

/// What a file has to look like when only some ranges of a content are published.
func masked(_ content: [UInt8], _ ranges: [Range<Int>]) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: content.count)
    result.withUnsafeMutableBytes { target in
        content.withUnsafeBytes { source in
            for range in ranges {
                UnsafeMutableRawBufferPointer(rebasing: target[range]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[range]))
            }
        }
    }
    return result
}

let everyLock: [Lock] = [.sealed, .readOnlyDescriptor]
