import SIPC
import Store
import Synchronization
import System

/// What a worker has published, on the way to being tables: reads and checks the descriptors, and has the store's part done. It is what
/// a thread of its own needs, and uses nothing of the engine.
///
/// Whatever the files are that the worker sent, reading them can only make that thread wait.
final class ResultWork: Sendable {
    /// The store's part.
    let publish: PublishWork
    private let files: [DescriptorBox]
    private let rowsFound = Mutex<UInt64>(0)

    /// - Parameters:
    ///   - files: the descriptors of the result and of the pieces that the worker decoded.
    ///   - publish: begun for the worker.
    init(_ files: [DescriptorBox], _ publish: PublishWork) {
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
            var publications: [SegmentStore.Publication] = []
            for (index, file) in files.enumerated() {
                guard let bytes = Worker.Published.bytes(of: file) else {
                    throw EngineError.protocolBroken("its descriptor can't be read")
                }
                let descriptor = try Descriptor(bytes)
                if index == 0 { rowsFound.withLock { $0 = descriptor.rows } }
                publications.append(try publication(descriptor))
            }
            try publish.run(publications)
            return nil
        } catch {
            return error
        }
    }

    /// Gives the worker's own segment its real id, and checks that the worker names nothing but what it was lent.
    private func publication(_ descriptor: Descriptor) throws -> SegmentStore.Publication {
        let ids = descriptor.segments.map { $0.id == 0 ? publish.outputID : SegmentID(rawValue: $0.id) }
        try check(descriptor.segments, ids)
        let bytes = descriptor.renumbered(ids.map(\.rawValue))
        return SegmentStore.Publication(
            descriptor: DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", bytes)),
            references: try references(of: descriptor, ids))
    }

    private func references(of descriptor: Descriptor, _ ids: [SegmentID]) throws -> References {
        var references = References()
        var failure: StoreError?
        descriptor.forEachReference { reference in
            do throws(StoreError) {
                try references.add(ids[Int(reference.segment)], offset: reference.offset, length: reference.length)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
        guard references.segmentCount == ids.count else {
            throw EngineError.protocolBroken("it lists a segment that it does not name anything of")
        }
        return references
    }

    /// Checks what readers rely on: each segment once, under the size that its file has.
    private func check(_ segments: [SIPC.Segment], _ ids: [SegmentID]) throws {
        guard Set(ids).count == ids.count else { throw EngineError.protocolBroken("it lists a segment twice") }
        for (segment, id) in zip(segments, ids) {
            guard let bytes = publish.fileBytes(of: id) else {
                throw EngineError.protocolBroken("it lists segment \(segment.id), which its worker was never given")
            }
            guard segment.bytes == UInt64(bytes) else {
                throw EngineError.protocolBroken(
                    "it lists segment \(segment.id) with a size of \(segment.bytes), not \(bytes)")
            }
        }
    }
}
