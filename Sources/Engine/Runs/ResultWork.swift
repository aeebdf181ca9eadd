import SIPC
import Store
import Synchronization
import System

/// What a worker has published, on the way to being tables: decodes and checks the descriptors, and has the store's part done. It is what
/// a thread of its own needs, and uses nothing of the engine.
final class ResultWork: Sendable {
    /// The store's part.
    let publish: PublishWork
    private let files: [ReceivedFile]
    private let rowsFound = Mutex<UInt64>(0)

    /// - Parameters:
    ///   - files: the descriptors of the result and of the pieces that the worker decoded.
    ///   - publish: begun for the worker.
    init(_ files: [ReceivedFile], _ publish: PublishWork) {
        self.files = files
        self.publish = publish
    }

    /// The rows of the result, when `run` has found it to be in order.
    var rows: UInt64 { rowsFound.withLock { $0 } }

    /// Does the work; on a thread that may wait, once.
    ///
    /// - Returns: what is wrong with the result; nil when it is in order.
    func run() -> (any Error)? {
        do {
            HoldPoint.descriptor.pass()
            let decoded = try DecodedTable.decode(files, output: publish.outputID).get()
            if let result = decoded.first { rowsFound.withLock { $0 = result.rows } }
            for table in decoded { try check(table.segments) }
            try publish.run(decoded.map { .init(descriptor: $0.descriptor, references: $0.references) })
            return nil
        } catch {
            return error
        }
    }

    /// Checks what readers rely on: each segment under the size that its file has.
    private func check(_ segments: [SegmentEntry]) throws {
        for segment in segments {
            guard let bytes = publish.fileBytes(of: SegmentID(rawValue: segment.id)) else {
                throw EngineError.protocolBroken("it lists segment \(segment.id), which its worker was never given")
            }
            guard segment.bytes == UInt64(bytes) else {
                throw EngineError.protocolBroken(
                    "it lists segment \(segment.id) with a size of \(segment.bytes), not \(bytes)")
            }
        }
    }
}
