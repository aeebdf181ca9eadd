import SIPC
import Store
import System

/// A table as its worker published it, decoded: right in itself, and not yet compared with what the worker was given.
///
/// Made in the background, after the worker and all that it started are dead.
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
    /// - Parameter output: the real number of the segment that the worker calls 0.
    /// - Throws: `Malformed`, `SIPCError`, `StoreError`, `EngineError`, `SystemError`.
    init(_ file: ReceivedFile, output: SegmentID) throws {
        let isOurs = try file.seal { (content: (Int) throws(SystemError) -> [UInt8]) throws(SystemError) in
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
    static func decode(_ files: [ReceivedFile], output: SegmentID) -> Result<[DecodedTable], any Error> {
        Result { try files.map { try DecodedTable($0, output: output) } }
    }
}
