import Glibc
import SIPC
import Synchronization
import System

/// A table on its way to a file of the user's: what a thread of its own needs to write it. It uses nothing of the store.
public final class ExportWork: Sendable {
    /// How an export ended.
    public enum Outcome: Sendable {
        /// The file is there.
        case written
        /// It was stopped; there is no file of it.
        case stopped
        /// It could not be written, for this reason; there is no file of it.
        case failed(String)
    }

    /// The file's name.
    public let path: String

    let movers: MovingTables
    private let isStopped = Atomic<Bool>(false)

    init(_ movers: MovingTables, to path: String) {
        self.movers = movers
        self.path = path
    }

    /// Nobody wants it any more: `write` ends as soon as the disk lets it.
    public func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Writes the table as a standard Arrow IPC stream, which gets its name when it is whole: what had it before stays until then, and
    /// is replaced, not written to, whatever it is. On a thread that may wait; once.
    public func write() -> Outcome {
        do {
            HoldPoint.export.pass()
            let pending = try PendingFile(in: Folder(Path.parent(path)), mode: 0o644)
            try writeStream(to: pending.file.descriptor)
            try pending.file.descriptor.finishWrites()
            try pending.replace(as: String(path.split(separator: "/").last ?? ""))
            return .written
        } catch is Stopped {
            return .stopped
        } catch {
            return .failed("\(error)")
        }
    }

    private struct Stopped: Error {}

    /// How much is written between two looks at whether it is still wanted.
    private static let stepBytes = 8 << 20

    private func writeStream(to file: borrowing FileDescriptor) throws {
        let descriptor = try movers.descriptor()
        let segments = try movers.map()
        try descriptor.writeStream(segments) { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                if isStopped.load(ordering: .relaxed) { throw Stopped() }
                try file.writeAll(UnsafeRawBufferPointer(rebasing: rest.prefix(Self.stepBytes)))
                rest = rest.dropFirst(Self.stepBytes)
            }
        }
        if isStopped.load(ordering: .relaxed) { throw Stopped() }
    }
}

extension SegmentStore {
    /// Begins to write a table to a file. It is pinned until `finishExport`: it can be lent and released meanwhile.
    ///
    /// - Parameters:
    ///   - table: any; also one that must be restored before it can be lent.
    ///   - path: the file's name; what has it is replaced.
    /// - Returns: the work, for a thread that may wait.
    public func beginExport(_ table: TableID, to path: String) -> ExportWork {
        ExportWork(pin(table, "export"), to: path)
    }

    /// Ends an export, whatever came of it.
    public func finishExport(_ work: ExportWork) { endReading(work.movers) }
}
