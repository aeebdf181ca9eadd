/// The build ID of a program or library: the linker's hash of its output, which tells one build from another.
///
/// The same sources, built again in the same place with the same tools, have the same ID.
public enum BuildID {
    /// A larger note is no build ID, in bytes.
    private static let noteBytesMax = 64 << 10

    /// The build ID in a 64-bit ELF file, as hexadecimal digits; if it has none, the file's identity (`Files.identity`), which
    /// another build changes too.
    ///
    /// - Throws: when the file can't be read. Source: elf(5), `NT_GNU_BUILD_ID`.
    public static func of(_ path: String) throws(SystemError) -> String {
        let file = try FileDescriptor.open(path)
        if let noted = try noted(in: file) { return noted }
        return try Files.identity(path)
    }

    private static func noted(in file: borrowing FileDescriptor) throws(SystemError) -> String? {
        let bytes = try file.status().bytes
        guard bytes >= 64 else { return nil }
        let header = try file.bytes(0..<64)
        guard header.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]) else { return nil }
        let table = number(header, at: 32, bytes: 8)
        let (size, count) = (number(header, at: 54, bytes: 2), number(header, at: 56, bytes: 2))
        guard size >= 56, table <= bytes, size * count <= bytes - table else { return nil }
        let segments = try file.bytes(table..<table + size * count)
        for segment in 0..<count {
            let at = segment * size
            // PT_NOTE.
            guard number(segments, at: at, bytes: 4) == 4 else { continue }
            let (start, length) = (number(segments, at: at + 8, bytes: 8), number(segments, at: at + 32, bytes: 8))
            guard start <= bytes, length <= min(noteBytesMax, bytes - start) else { continue }
            if let found = noted(in: try file.bytes(start..<start + length)) { return found }
        }
        return nil
    }

    /// Notes follow each other: the sizes of name and content, a type, the name, the content, both padded to four bytes.
    private static func noted(in notes: [UInt8]) -> String? {
        var at = 0
        while notes.count - at >= 12 {
            let (name, content) = (number(notes, at: at, bytes: 4), number(notes, at: at + 4, bytes: 4))
            let first = at + 12 + (name + 3) & ~3
            guard first <= notes.count, content <= notes.count - first else { return nil }
            if number(notes, at: at + 8, bytes: 4) == 3, notes[(at + 12)...].starts(with: [0x47, 0x4E, 0x55, 0]),
                content > 0
            {
                return hexadecimal(notes[first..<first + content])
            }
            at = first + (content + 3) & ~3
        }
        return nil
    }

    private static func number(_ bytes: [UInt8], at place: Int, bytes count: Int) -> Int {
        // A number that is too large becomes the largest one, which lies beyond any file.
        Int(clamping: bytes[place..<place + count].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
    }

    private static func hexadecimal(_ bytes: ArraySlice<UInt8>) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
