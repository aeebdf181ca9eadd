import CLinux

/// A checksum of bytes that reveals any flipped bit: 128 bits, four CRC-32Cs side by side, at the speed of memory.
///
/// It is against accidents, not against people: somebody who can change the bytes can change the checksum too.
public struct Checksum: Sendable {
    /// How many bytes its text has.
    public static let textBytes = 32

    private var state = zerrow_checksum(lanes: (.max, .max, .max, .max), bytes: 0)

    /// The checksum of nothing.
    public init() {}

    /// Adds bytes; it makes no difference into which pieces they are cut.
    public mutating func add(_ bytes: UnsafeRawBufferPointer) {
        zerrow_checksum_add(&state, bytes.baseAddress, bytes.count)
    }

    /// Adds a text, as UTF-8.
    public mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// Adds a range of a file, which is read, not mapped: a disk that fails is an error, and no signal. The kernel reads ahead itself.
    ///
    /// - Throws: as reading does; `EIO` when the file ends first.
    public mutating func add(_ range: Range<Int>, of file: borrowing FileDescriptor) throws(SystemError) {
        let piece = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(range.count, Self.pieceBytes), alignment: Machine.pageBytes)
        defer { piece.deallocate() }
        var place = range.lowerBound
        while place < range.upperBound {
            let count = min(piece.count, range.upperBound - place)
            let part = UnsafeMutableRawBufferPointer(rebasing: piece[..<count])
            try file.readAll(part, at: place)
            add(UnsafeRawBufferPointer(part))
            place += count
        }
    }

    /// Small enough for the processor's second cache.
    private static let pieceBytes = 256 << 10

    /// The checksum, as hexadecimal digits: of each CRC its eight, the first one's first.
    public var text: [UInt8] {
        let (a, b, c, d) = state.lanes
        return [a, b, c, d].flatMap { lane in
            (0..<8).map { Array("0123456789abcdef".utf8)[Int(~lane >> (28 - 4 * $0) & 15)] }
        }
    }
}
