import Catalog
import Glibc
import System

/// Answers the planner's questions about files outside of its sandbox: the names in a folder, the place that a path leads to, the
/// footer of a Parquet file (`docs/plan.md` has the messages).
///
/// The planner sees no source by itself. It learns names and footers here, and never gets a descriptor: with one it could lock
/// the file, or open it anew. A question may come from a stranger whose project has taken over the planner: whatever it asks, the
/// answer is only read, and nothing is opened that is not a folder or a regular file.
struct SourceAnswers {
    /// The longest question.
    static let questionBytesMax = 64 << 10
    /// The longest piece of an answer.
    static let pieceBytesMax = 64 << 10
    /// The longest list of a folder's names.
    static let listBytesMax = 64 << 20
    /// The longest footer; the reader of footers refuses those, too.
    static let footerBytesMax = 512 << 20
    /// Folders that no source can be in, because their files lie on no disk.
    static let refusedFolders = ["/proc", "/sys", "/dev"]

    /// What is in the catalog.
    private let catalog: CatalogAnswers

    init(_ catalog: CatalogAnswers = CatalogAnswers([:])) { self.catalog = catalog }

    /// The first byte of a note, which has no answer: it says what the planner is reading.
    static let note = UInt8(ascii: "N")
    /// The first byte of the last message, which has no answer: all is printed. The second one is the status of its exit.
    static let done = UInt8(ascii: "D")

    private enum Operation: UInt8 {
        case list = 0x4c  // L
        case status = 0x53  // S
        case footer = 0x46  // F
        case catalog = 0x43  // C
    }

    /// An answer on its way: its number, bytes, and then a range of a file.
    struct Answer {
        private let number: [UInt8]
        private var bytes: ArraySlice<UInt8>
        private var file: DescriptorBox?
        private var range: Range<Int>

        fileprivate init(
            _ number: [UInt8], _ bytes: [UInt8], _ file: DescriptorBox? = nil, _ range: Range<Int> = 0..<0
        ) {
            self.number = number
            self.bytes = bytes[...]
            self.file = file
            self.range = range
        }

        /// The answer to a question that is not about files; its number is that of the question.
        init(to question: [UInt8], _ bytes: [UInt8]) { self.init(Array(question[1..<5]), bytes) }

        /// The next message of it: the number, whether more follows, and a piece; nil after the last one.
        mutating func next() -> [UInt8]? {
            guard !isDone else { return nil }
            var piece = Array(bytes.prefix(SourceAnswers.pieceBytesMax))
            bytes = bytes.dropFirst(piece.count)
            if bytes.isEmpty, let file, piece.count < SourceAnswers.pieceBytesMax {
                let end = min(range.upperBound, range.lowerBound + SourceAnswers.pieceBytesMax - piece.count)
                let read = (try? file.descriptor.bytes(range.lowerBound..<end)) ?? []
                piece += read
                // A file that got shorter ends the answer; the planner notices that bytes are missing.
                range = (read.isEmpty ? range.upperBound : end)..<range.upperBound
            }
            isDone = bytes.isEmpty && range.isEmpty
            return number + [isDone ? 0 : 1] + piece
        }

        private var isDone = false
    }

    /// The answer to a question: its kind in one byte, its number in 4, and paths, each with a NUL at its end.
    ///
    /// - Throws: `EngineError.planner` for what is no question.
    func answer(_ question: [UInt8]) throws(EngineError) -> Answer {
        guard question.count > 5, question.last == 0, let operation = Operation(rawValue: question[0]) else {
            throw EngineError.planner("it sent \(question.count) bytes that are no question")
        }
        let number = Array(question[1..<5])
        let parts = question[5...].dropLast().split(separator: 0, omittingEmptySubsequences: false)
        let paths = parts.map { RawPath($0) }
        switch operation {
        case .list: return Answer(number, list(paths[0]))
        case .status: return Answer(number, paths.flatMap { status($0) })
        case .footer: return footer(paths[0], number)
        case .catalog: return Answer(number, tables(parts.map { String(validating: $0, as: UTF8.self) ?? "" }))
        }
    }

    /// The number of the error, and the entries.
    private func list(_ path: RawPath?) -> [UInt8] {
        let real = real(path)
        guard let folder = real.path else { return Self.bytes(UInt32(bitPattern: real.errno)) }
        let (list, code) = folder.entries(bytesMax: Self.listBytesMax)
        return Self.bytes(UInt32(bitPattern: code)) + list
    }

    /// The number of the error, and, where that is 0: mode, whether it can be read, device, inode, size, the times of the last
    /// changes of content and status, the kind of the file system, and the real path with its length.
    private func status(_ path: RawPath?) -> [UInt8] {
        let real = real(path)
        guard let named = real.path else { return Self.bytes(UInt32(bitPattern: real.errno)) }
        guard let status = named.status() else { return Self.bytes(UInt32(bitPattern: errno)) }
        var found = Self.bytes(UInt32(0)) + Self.bytes(UInt32(status.st_mode))
        found += Self.bytes(UInt32(named.isReadable() ? 1 : 0))
        for number in [
            UInt64(status.st_dev), UInt64(status.st_ino), UInt64(bitPattern: Int64(status.st_size)),
            Self.nanoseconds(status.st_mtim), Self.nanoseconds(status.st_ctim), named.fileSystem(),
        ] { found += Self.bytes(number) }
        return found + Self.bytes(UInt32(named.bytes.count)) + named.bytes
    }

    /// The number of the error, the size of the file, and its end: from its footer on where that can be told, else a little.
    private func footer(_ path: RawPath?, _ number: [UInt8]) -> Answer {
        let real = real(path)
        guard let named = real.path else { return Answer(number, Self.bytes(UInt32(bitPattern: real.errno))) }
        do throws(SystemError) {
            let file = DescriptorBox(try named.openRegular())
            let size = try file.descriptor.status().bytes
            let head = Self.bytes(UInt32(0)) + Self.bytes(UInt64(size))
            let tail = try file.descriptor.bytes(max(0, size - 8)..<size)
            // A length in 4 bytes and "PAR1"; what the length claims is believed as far as the file goes.
            var wanted = 8
            if tail.count == 8, tail[4...].elementsEqual("PAR1".utf8) {
                wanted += tail[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
            }
            let start = size - min(wanted <= Self.footerBytesMax + 8 ? wanted : 8, size)
            return Answer(number, head, file, start..<size)
        } catch {
            return Answer(number, Self.bytes(UInt32(bitPattern: error.errno)))
        }
    }

    /// 0 and the tables of a catalog, or another number and the reason why it can't be read.
    private func tables(_ texts: [String]) -> [UInt8] {
        guard let place = texts.first, place.hasPrefix("/") else {
            return Self.bytes(UInt32(1)) + Array("its folder is no absolute path".utf8)
        }
        do throws(CatalogError) {
            return Self.bytes(UInt32(0)) + (try catalog.answer(place, Set(texts.dropFirst())))
        } catch {
            return Self.bytes(UInt32(1)) + Array(error.description.utf8)
        }
    }

    private func real(_ path: RawPath?) -> (path: RawPath?, errno: Int32) {
        guard let path else { return (nil, ENAMETOOLONG) }
        let (real, code) = path.resolved()
        guard let real else {
            if code == ENOENT, path.isThere() { return (nil, ENOLINK) }
            return (nil, code == 0 ? ENAMETOOLONG : code)
        }
        return real.isAt(orBelow: Self.refusedFolders) ? (nil, EACCES) : (real, 0)
    }

    private static func nanoseconds(_ time: timespec) -> UInt64 {
        let (seconds, overflows) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        return UInt64(bitPattern: overflows ? 0 : seconds &+ Int64(time.tv_nsec))
    }

    private static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
}
