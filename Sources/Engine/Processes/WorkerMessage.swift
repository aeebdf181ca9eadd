import Scheduler
import System

/// A worker's message, read in this one place: bytes that may be hostile become values that may be wrong, but have the right types.
enum WorkerMessage {
    /// It is inside its sandbox and waits for work.
    case started
    /// The user's code is about to run.
    case running
    /// A scan names the units that it wants of DeCache.
    case wants([BlockName])
    /// A scan gives the pieces that it has decoded.
    case decoded([DecodedPiece])
    /// A materialization wants so many files more to write to.
    case wantsFiles(Int)
    /// A model whose result is large wants a file to write it to.
    case wantsRoom
    /// A materialization's account of what it wrote.
    case wrote(WrittenTable)
    /// Its result.
    case published(Publication)
    /// The text of a preview.
    case done(text: String?)
    /// The reason why it fails.
    case failed(Scheduler.WorkerError)

    /// Reads a message.
    ///
    /// - Parameters:
    ///   - files: the files that came beside it; looked at for messages that have any, and read for lists of blocks alone.
    ///   - descriptorBytesMax: how many bytes of SIPC descriptors the worker may still send.
    init(_ message: Datagram, _ files: [DescriptorBox], descriptorBytesMax: Int) throws(Malformed) {
        guard let op = Op.Worker(rawValue: message.op) else { throw .unknown(message.op) }
        switch op {
        case .started: self = .started
        case .running: self = .running
        case .wants:
            guard files.count == 1 else { throw Malformed("a message 'wants' without its one file") }
            self = .wants(try BlockName.list("units", in: files[0]))
        case .decoded:
            guard let list = files.first else { throw Malformed("a message 'decoded' without its blocks") }
            let blocks = try BlockName.list("pieces", in: list)
            guard blocks.count == files.count - 1 else {
                throw Malformed("a message 'decoded' of \(blocks.count) blocks and \(files.count - 1) tables")
            }
            var pieces: [DecodedPiece] = []
            var bytesLeft = descriptorBytesMax
            for (block, file) in zip(blocks, files.dropFirst()) {
                let descriptor = try ReceivedFile(file, bytesMax: bytesLeft)
                bytesLeft -= descriptor.bytes
                pieces.append(DecodedPiece(block: block, descriptor: descriptor))
            }
            self = .decoded(pieces)
        case .wantsFiles:
            guard let count = message.body["count"]?.integer, count > 0, count <= Limit.tableFilesMax else {
                throw Malformed("a message 'wants-files' for no number of files")
            }
            self = .wantsFiles(Int(count))
        case .wantsRoom: self = .wantsRoom
        case .wrote:
            guard files.count == 1 else { throw Malformed("a message 'wrote' without its one file") }
            self = .wrote(try WrittenTable(try ReceivedFile(files[0], bytesMax: Limit.writtenBytesMax)))
        case .published: self = .published(try Publication(message.body, files, descriptorBytesMax))
        case .done: self = .done(text: message.body["text"]?.text)
        case .failed: self = .failed(Scheduler.WorkerError(message.body["error"]))
        }
    }
}

extension WorkerMessage {
    /// A result. Its figures are the worker's word, whatever its descriptor says.
    struct Publication {
        let descriptor: ReceivedFile
        let rows: Int64
        let counts: ByteCounts
        let moves: KernelZeroReport?
        let decache: DeCacheReport?
        /// A file of the project that it read and that was changed after the plan was made, so that the plan's keys are not those
        /// of the code that ran.
        let changedFile: String?
        /// The thing that the model asked the world for as it ran, and where: its result is like no other run's.
        let asked: String?
        /// How the result differs from what its model declares, or that an expectation is not met.
        let warnings: [String]
        /// The bytes that its SQL engine wrote to its folder on a disk; nil where it had none.
        let spilledBytes: UInt64?
        /// Where its time went, in milliseconds, by the names of the protocol.
        let timing: [String: Double]

        fileprivate init(
            _ body: JSONValue, _ files: [DescriptorBox], _ descriptorBytesMax: Int
        ) throws(Malformed) {
            guard files.count == 1 else {
                throw Malformed("a broken result: \(files.count) descriptors in place of one")
            }
            guard let rows = body["rows"]?.integer, rows >= 0 else {
                throw Malformed("a broken result without its rows")
            }
            guard let counts = ByteCounts(body["counts"]) else { throw Malformed("a broken result without its counts") }
            do throws(Malformed) {
                descriptor = try ReceivedFile(files[0], bytesMax: descriptorBytesMax)
            } catch {
                throw Malformed("a broken result: \(error); a table of fewer batches has a smaller descriptor")
            }
            self.rows = rows
            self.counts = counts
            moves = KernelZeroReport(body["kernelzero"])
            decache = DeCacheReport(body["decache"])
            changedFile = body["changed"]?.array?.first.map { $0.text ?? "a file" }
            asked = body["asked"]?.array?.first.map { $0.text ?? "something" }
            spilledBytes = body["spilled_bytes"]?.integer.map { UInt64(clamping: $0) }
            warnings = (body["warnings"]?.array ?? []).compactMap(\.text)
            let times = Op.Timing.allCases.compactMap { key in
                body["timing"]?[key.rawValue]?.number.map { (key.rawValue, $0) }
            }
            timing = Dictionary(times) { first, _ in first }
        }
    }

    /// A piece for DeCache.
    struct DecodedPiece {
        let block: BlockName
        let descriptor: ReceivedFile
    }

    /// A block of a source as a worker names it; the file is a number in its task, which need not have so many.
    struct BlockName: Equatable {
        var file: Int
        var read: String
        var columns: [String]
        var groups: [Range<Int>]

        /// No file has more row groups.
        private static let groupsMax = Int64(Int32.max)

        /// The blocks that a file lists under a name.
        fileprivate static func list(_ name: String, in file: DescriptorBox) throws(Malformed) -> [BlockName] {
            let content = try ReceivedFile(file, bytesMax: Limit.jsonFileBytesMax).json()
            guard let list = content[name]?.array else { throw Malformed("a file without its list '\(name)'") }
            var blocks: [BlockName] = []
            blocks.reserveCapacity(list.count)
            for body in list {
                guard let block = BlockName(body) else { throw Malformed("a block that is none") }
                blocks.append(block)
            }
            return blocks
        }

        init?(_ body: JSONValue) {
            guard let number = body["file"]?.integer, let file = Int(exactly: number), file >= 0,
                let read = body["read"]?.string, let columns = body["columns"]?.array,
                let groups = body["groups"]?.array
            else { return nil }
            let names = columns.compactMap(\.string)
            guard names.count == columns.count else { return nil }
            var ranges: [Range<Int>] = []
            ranges.reserveCapacity(groups.count)
            for range in groups {
                guard let ends = range.array, ends.count == 2, let lower = ends[0].integer, let upper = ends[1].integer,
                    lower >= 0, lower < upper, upper < Self.groupsMax
                else { return nil }
                ranges.append(Int(lower)..<Int(upper))
            }
            self.file = file
            self.read = read
            self.columns = names
            self.groups = ranges
        }
    }
}

extension WorkerMessage {
    /// Reads a message that came from a worker, with the descriptors that came beside it.
    ///
    /// Where others of the worker's user have too many descriptors on their way, it says which ones it holds, and they are taken out of
    /// it. The numbers are its word; whatever they mean there is what it might have sent as well.
    ///
    /// - Throws: for a message that is none, or names what can't be taken.
    /// - Returns: nil where they could not be taken. The message is void then: the worker was told, and tries again.
    init?(_ message: Datagram, _ came: [DescriptorBox], from worker: WorkerProcess) throws(Malformed) {
        var files = came
        if let held = message.body["held"]?.array {
            let numbers = held.compactMap { $0.integer.flatMap { Int32(exactly: $0) } }
            guard came.isEmpty, numbers.count == held.count, let taken = worker.take(numbers) else {
                throw Malformed("the names of descriptors that nobody can take")
            }
            switch taken {
            case .taken(let descriptors): files = descriptors
            case .failed: return nil
            }
        }
        try self.init(message, files, descriptorBytesMax: worker.descriptorBytesLeft)
    }
}

extension JSONValue {
    /// A text for people, cut off where it is too long.
    var text: String? {
        guard let text = string else { return nil }
        return text.utf8.count <= Limit.textBytesMax
            ? text : String(decoding: text.utf8.prefix(Limit.textBytesMax), as: UTF8.self)
    }

    /// A count of something: whole and not negative.
    fileprivate var count: UInt64? { integer.flatMap { UInt64(exactly: $0) } }
}

extension ByteCounts {
    /// The counters of a result; nil when one is missing or negative.
    fileprivate init?(_ body: JSONValue?) {
        func count(_ key: Op.Count) -> UInt64? { body?[key.rawValue]?.count }
        guard let reshared = count(.resharedBytes), let bornShared = count(.bornSharedBytes),
            let deanonymized = count(.deanonymizedBytes), let packed = count(.packedBytes),
            let copied = count(.copiedBytes)
        else { return nil }
        self.init()
        resharedBytes = reshared
        bornSharedBytes = bornShared
        deanonymizedBytes = deanonymized
        packedBytes = packed
        copiedBytes = copied
    }
}

extension KernelZeroReport {
    /// How the pages of a result were moved; nil when none were to be, or the account is broken.
    fileprivate init?(_ body: JSONValue?) {
        func count(_ key: Op.PageCount) -> UInt64? { body?[key.rawValue]?.count }
        guard let ranges = count(.ranges), let refusedRanges = count(.refusedRanges), let refusal = count(.refusal),
            let moved = count(.movedPages), let movedHuge = count(.movedHugePages),
            let movedSwap = count(.movedSwapPages), let holes = count(.holePages), let edge = count(.copiedEdgePages),
            let shared = count(.copiedSharedPages), let pinned = count(.copiedPinnedPages),
            let other = count(.copiedOtherPages)
        else { return nil }
        self.init(
            ranges: ranges, refusedRanges: refusedRanges,
            refusal: refusal == 0 ? nil : SystemError.reason(Int32(clamping: refusal)), movedPages: moved,
            movedHugePages: movedHuge, movedSwapPages: movedSwap, holePages: holes, copiedEdgePages: edge,
            copiedSharedPages: shared, copiedPinnedPages: pinned, copiedOtherPages: other)
    }
}

extension DeCacheReport {
    /// The units that came from DeCache and went there; nil when it was not used, or the account is broken.
    fileprivate init?(_ body: JSONValue?) {
        func count(_ key: Op.DeCacheCount) -> Int64? { body?[key.rawValue]?.count.map { Int64($0) } }
        guard let wanted = count(.wantedUnits), let reused = count(.reusedUnits), let decoded = count(.decodedUnits),
            let bytes = count(.piecesBytes)
        else { return nil }
        self.init(wantedUnits: wanted, reusedUnits: reused, decodedUnits: decoded, piecesBytes: bytes)
    }
}

extension Scheduler.WorkerError {
    /// Reads a worker's `error` member; a part that is missing gets a word that says so.
    fileprivate init(_ body: JSONValue?) {
        self.init(
            kind: body?["kind"]?.string.map { String($0.prefix(40)) } ?? "internal",
            message: body?["message"]?.text ?? "the worker gave no reason", traceback: body?["traceback"]?.text,
            file: body?["file"]?.text, line: body?["line"]?.integer.map { Int(clamping: $0) })
    }
}
