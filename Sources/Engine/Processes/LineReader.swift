import Glibc
import System

/// Splits a process's output into lines.
///
/// A line longer than `Limit.lineBytesMax` is cut into several. Bytes that are not UTF-8 become replacement characters. All other
/// bytes stay: code that shows a line on a terminal removes the sequences that would drive it.
final class LineReader {
    let descriptor: DescriptorBox
    /// Whether nothing will come any more, and every line that came was given out.
    private(set) var isClosed = false
    /// Whether the other end is closed.
    private var isEnded = false
    /// The bytes that were read and not given out.
    private var rest: [UInt8] = []

    /// Takes the read end of a pipe, and makes it non-blocking.
    init(_ descriptor: DescriptorBox) throws(SystemError) {
        self.descriptor = descriptor
        try descriptor.descriptor.setNonBlocking()
    }

    /// Whether there are lines that were read and not given out yet: the descriptor needn't become readable for them.
    private(set) var hasMore = false

    /// The next lines that have arrived, without their ends: no more than `Limit.linesPerTurn`, of no more than
    /// `Limit.outputBytesPerTurn`, so that one process that prints without end does not keep the engine from the others.
    func lines() -> [String] {
        if !hasMore, !isClosed {
            var chunk = [UInt8](repeating: 0, count: Limit.outputBytesPerTurn)
            if let count = read(into: &chunk) {
                isEnded = count == 0
                rest += chunk[..<count]
            }
        }
        var lines: [String] = []
        split(into: &lines)
        if isEnded, !hasMore {
            isClosed = true
            if !rest.isEmpty { lines.append(Self.text(rest[...])) }
            rest = []
        }
        return lines
    }

    /// All lines that are left when the process is dead, up to the most that the pipe of a process holds.
    func lastLines() -> [String] {
        var lines: [String] = []
        for _ in 0..<Limit.outputBytesPerTurn {
            let next = self.lines()
            lines += next
            if isClosed || next.isEmpty && !hasMore { break }
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

    /// Takes whole lines out of what was read, as many as may be given out at once.
    private func split(into lines: inout [String]) {
        var start = rest.startIndex
        while lines.count < Limit.linesPerTurn {
            let end = rest[start...].firstIndex(of: UInt8(ascii: "\n"))
            let count = (end ?? rest.endIndex) - start
            if count > Limit.lineBytesMax {
                lines.append(Self.text(rest[start..<(start + Limit.lineBytesMax)]))
                start += Limit.lineBytesMax
            } else if let end {
                lines.append(Self.text(rest[start..<end]))
                start = end + 1
            } else {
                break
            }
        }
        rest.removeSubrange(..<start)
        hasMore = rest.count > Limit.lineBytesMax || rest.contains(UInt8(ascii: "\n"))
    }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }
}
