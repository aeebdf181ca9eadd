import ArgumentParser

/// A number of bytes as a user writes it: `1048576`, `512MiB`, `4G`.
struct ByteSize {
    let bytes: UInt64

    /// Throws `ValidationError`, which says what a size is.
    init(_ text: String) throws {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let unit = text.dropFirst(digits.count).lowercased()
        let powers = [
            "": 0, "b": 0, "k": 1, "kib": 1, "kb": 1, "m": 2, "mib": 2, "mb": 2, "g": 3, "gib": 3, "gb": 3, "t": 4,
            "tib": 4, "tb": 4,
        ]
        guard let number = Double(digits), let power = powers[unit] else {
            throw ValidationError("it has to be a number of bytes, or one with KiB, MiB, GiB or TiB, as 512MiB")
        }
        var value = number
        for _ in 0..<power { value *= 1024 }
        guard value >= 1 else { throw ValidationError("it has to be a byte or more") }
        guard value < 9e18 else { throw ValidationError("no machine has so much") }
        bytes = UInt64(value)
    }
}
