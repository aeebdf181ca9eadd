import SIPC
import Store
import Synchronization
import System

/// What a worker has published, on the way to being tables: decodes and checks the descriptors, and has the store's part done. It is what
/// a thread of its own needs, and uses nothing of the engine. What is small, of a worker that lives, is done at once.
final class ResultWork: Sendable {
    /// The store's part.
    let publish: PublishWork
    private let files: [ReceivedFile]
    /// Whether the worker lives, so that its files stay as they are.
    private let isCopying: Bool
    private let rowsFound = Mutex<UInt64>(0)

    /// - Parameters:
    ///   - files: the descriptors of the result and of the pieces that the worker decoded.
    ///   - publish: begun for the worker.
    init(_ files: [ReceivedFile], _ publish: PublishWork) {
        self.files = files
        self.publish = publish
        isCopying = false
    }

    /// The result of a worker that lives.
    ///
    /// - Parameters:
    ///   - file: the descriptor of the result; it is copied.
    ///   - publish: begun as a hand-over.
    init(copying file: ReceivedFile, _ publish: PublishWork) {
        files = [file]
        self.publish = publish
        isCopying = true
    }

    /// The rows of the result, when `run` has found it to be in order.
    var rows: UInt64 { rowsFound.withLock { $0 } }

    /// Does the work; on a thread that may wait, once.
    ///
    /// - Returns: what is wrong with the result; nil when it is in order.
    func run() -> (any Error)? {
        do {
            if !isCopying { HoldPoint.descriptor.pass() }
            let decoded = try DecodedTable.decode(files, output: publish.outputID, isCopying: isCopying).get()
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

/// A table as its worker published it, decoded: right in itself, and not yet compared with what the worker was given.
///
/// Made in the background, after the worker and all that it started are dead, or of a copy.
struct DecodedTable: Sendable {
    /// What decoding takes besides the descriptor itself, in parts of it: the places of its messages, and its references.
    private static let workParts = 2

    /// Its segments, the worker's own output under its real number.
    let segments: [SegmentEntry]
    let rows: UInt64
    /// The descriptor that its readers get: sealed, with real numbers.
    let descriptor: DescriptorBox
    /// The ranges that it names, by segment.
    let references: References

    /// Reads and decodes a descriptor.
    ///
    /// The worker's own file becomes the readers': its pages are charged to the worker's control group, and stay so. A file that
    /// can't be sealed, because somebody else still has it, is copied.
    ///
    /// - Parameters:
    ///   - output: the real number of the segment that the worker calls 0.
    ///   - isCopying: whether the file is copied in any case, and left as it is.
    /// - Throws: `Malformed`, `SIPCError`, `StoreError`, `EngineError`, `SystemError`.
    init(_ file: ReceivedFile, output: SegmentID, isCopying: Bool = false) throws {
        let isOurs =
            try !isCopying
            && file.seal { (content: (Int) throws(SystemError) -> [UInt8]) throws(SystemError) in
                try Descriptor.renumbering(content) { $0 == 0 ? output.rawValue : $0 }
            }
        var table = try Descriptor(try file.content())
        if !isOurs {
            table = try Descriptor(table.renumbered(table.segments.map { $0.id == 0 ? output.rawValue : $0.id }))
        }
        let ids = table.segments.map { SegmentID(rawValue: $0.id) }
        guard Set(ids).count == ids.count else { throw EngineError.protocolBroken("it lists a segment twice") }
        segments = table.segments
        rows = table.rows
        references = try Self.references(of: table, ids)
        descriptor =
            isOurs ? file.file : DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", table.bytes))
    }

    private static func references(of descriptor: Descriptor, _ ids: [SegmentID]) throws -> References {
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
        references.merge()
        return references
    }

    /// How much memory decoding these takes in the engine, in bytes.
    static func bytes(toDecode files: [ReceivedFile]) -> Int {
        files.reduce(0) { $0 + $1.bytes } * (1 + workParts)
    }

    /// Decodes all tables of a worker.
    static func decode(
        _ files: [ReceivedFile], output: SegmentID, isCopying: Bool
    ) -> Result<[DecodedTable], any Error> {
        Result { try files.map { try DecodedTable($0, output: output, isCopying: isCopying) } }
    }
}
