import Glibc
import System

/// Reads a process's output as lines (`LineSplitter`).
///
/// Bytes that are not UTF-8 become replacement characters. All other bytes stay: code that shows a line on a terminal removes the
/// sequences that would drive it.
final class LineReader {
    let descriptor: DescriptorBox
    /// Whether nothing will come any more, and every line that came was given out.
    private(set) var isClosed = false
    /// Whether the other end is closed.
    private var isEnded = false
    private var splitter = LineSplitter()

    /// Takes the read end of a pipe, and makes it non-blocking.
    init(_ descriptor: DescriptorBox) throws(SystemError) {
        self.descriptor = descriptor
        try descriptor.descriptor.setNonBlocking()
    }

    /// Whether there are lines that were read and not given out yet: the descriptor needn't become readable for them.
    var hasMore: Bool { splitter.hasMore }

    /// The next lines that have arrived, without their ends: no more than `Limit.linesPerTurn`, of no more than
    /// `Limit.outputBytesPerTurn`, so that one process that prints without end does not keep the engine from the others.
    func lines() -> [String] {
        let now = MonotonicClock.nanoseconds()
        if !hasMore, !isClosed {
            var chunk = [UInt8](repeating: 0, count: Limit.outputBytesPerTurn)
            if let count = read(into: &chunk) {
                isEnded = count == 0
                splitter.add(chunk[..<count], at: now)
            }
        }
        var lines = splitter.lines(now)
        if isEnded, !hasMore {
            isClosed = true
            lines += splitter.end()
        }
        return lines
    }

    /// The beginning of a line whose end has not come for a while.
    func overdueLines(_ now: UInt64) -> [String] { splitter.overdue(now) }

    /// All lines that are left when the process is dead, up to the most that the pipe of a process holds.
    func lastLines() -> [String] {
        var lines: [String] = []
        for _ in 0..<Limit.outputBytesPerTurn {
            let next = self.lines()
            lines += next
            if isClosed || next.isEmpty && !hasMore { break }
        }
        // Somebody else may still have the pipe.
        return isClosed ? lines : lines + splitter.end()
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
}
