import Glibc
import System

/// Splits what a process prints into lines.
///
/// A line longer than `lineBytesMax` is cut into several. Bytes that are not UTF-8 become replacement characters. All else stays:
/// whoever shows a line on a terminal takes out what would drive it.
final class LineReader {
    static let lineBytesMax = 16 * 1024

    let descriptor: DescriptorBox
    private(set) var isClosed = false
    private var rest: [UInt8] = []

    /// Takes the read end of a pipe, and makes it non-blocking.
    init(_ descriptor: DescriptorBox) throws(SystemError) {
        self.descriptor = descriptor
        try descriptor.descriptor.setNonBlocking()
    }

    /// The lines that have arrived since the last call, without their ends; at most 1 MiB is read, so that one process that prints
    /// without end does not keep the engine from the others.
    func lines() -> [String] {
        var lines: [String] = []
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        for _ in 0..<16 where !isClosed {
            guard let count = read(into: &chunk) else { break }
            if count == 0 { isClosed = true }
            split(chunk[..<count], into: &lines)
        }
        if isClosed, !rest.isEmpty {
            lines.append(Self.text(rest[...]))
            rest = []
        }
        return lines
    }

    /// How much was read, 0 at the end or when the pipe fails; nil when nothing is there yet.
    private func read(into chunk: inout [UInt8]) -> Int? {
        do {
            return try chunk.withUnsafeMutableBytes { buffer throws(SystemError) in
                try descriptor.descriptor.read(into: buffer)
            }
        } catch let error as SystemError {
            return error.errno == EAGAIN ? nil : 0
        } catch {
            return 0
        }
    }

    private func split(_ bytes: ArraySlice<UInt8>, into lines: inout [String]) {
        rest += bytes
        var start = rest.startIndex
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            while end - start > Self.lineBytesMax {
                lines.append(Self.text(rest[start..<(start + Self.lineBytesMax)]))
                start += Self.lineBytesMax
            }
            lines.append(Self.text(rest[start..<end]))
            start = end + 1
        }
        while rest.endIndex - start > Self.lineBytesMax {
            lines.append(Self.text(rest[start..<(start + Self.lineBytesMax)]))
            start += Self.lineBytesMax
        }
        rest.removeSubrange(..<start)
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
