/// Bits as Arrow keeps them: the least significant bit of a byte comes first.
enum Bitmap {
    /// How many of `count` bits from bit number `from` are set.
    static func countOnes(_ bitmap: UnsafeRawPointer, from: Int, count: Int) -> Int {
        var bit = from
        let end = from + count
        var ones = 0
        while bit < end, bit & 7 != 0 {
            ones += isSet(bitmap, bit) ? 1 : 0
            bit += 1
        }
        while end - bit >= 64 {
            ones += bitmap.loadUnaligned(fromByteOffset: bit / 8, as: UInt64.self).nonzeroBitCount
            bit += 64
        }
        while bit < end {
            ones += isSet(bitmap, bit) ? 1 : 0
            bit += 1
        }
        return ones
    }

    /// Whether bit number `bit` is set.
    static func isSet(_ bitmap: UnsafeRawPointer, _ bit: Int) -> Bool {
        bitmap.load(fromByteOffset: bit / 8, as: UInt8.self) >> UInt8(bit & 7) & 1 == 1
    }

    /// `count` bits from bit number `from`, moved so that they begin with a byte; the rest of the last byte is 0.
    static func realigned(_ bitmap: UnsafeRawBufferPointer, from: Int, count: Int) -> [UInt8] {
        let shift = UInt8(from & 7)
        let first = from / 8
        let bytes = (count + 7) / 8
        var result = [UInt8](repeating: 0, count: bytes)
        for index in 0..<bytes {
            let low = bitmap[first + index] >> shift
            let next = first + index + 1
            let high = shift > 0 && next < bitmap.count ? bitmap[next] << (8 - shift) : 0
            result[index] = low | high
        }
        if count & 7 != 0 { result[bytes - 1] &= (1 << UInt8(count & 7)) - 1 }
        return result
    }
}
