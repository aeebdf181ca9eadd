import Synchronization
import System

/// What a worker has published, on the way to being tables: what a thread of its own needs to check it, and to trim and lock the worker's
/// output. It uses nothing of the store.
public final class PublishWork: Sendable {
    /// A table as a worker publishes it.
    public struct Publication: Sendable {
        /// The SIPC descriptor for readers: sealed, and checked by the caller.
        public let descriptor: DescriptorBox
        /// Every reference in it; to the output, and to what was lent to the worker.
        public let references: References

        /// A table and what it names.
        public init(descriptor: DescriptorBox, references: References) {
            self.descriptor = descriptor
            self.references = references
        }
    }

    /// What was made of the output.
    struct Made: Sendable {
        let tables: [Table]
        /// Where the published bytes are; nil when no table names any of the output.
        var output: OutputFile?
        /// The descriptor that readers get.
        var reader: DescriptorBox?
        /// The file that the output was in, where the published bytes were copied to another one.
        var oldFile: DescriptorBox?
        /// What was copied, in bytes.
        var extractedBytes = 0
        /// Whether the published bytes are in a segment of their own, and the output stays the worker's.
        var isCopy = false
        /// The file on a disk that the worker wrote; nil when no table names any of it.
        var room: WrittenRoom?
    }

    /// The segment that has what the worker calls its output.
    public let outputID: SegmentID

    let worker: BorrowerID
    private let output: OutputFile
    /// The worker's file on a disk.
    private let room: Room?
    /// What the tables that were lent to the worker name, by segment.
    private let lent: [SegmentID: [RangeSet]]
    /// The sizes of the files that the worker may name.
    private let fileBytes: [SegmentID: Int]
    /// The most memory that is kept for later outputs.
    private let poolBytesMax: Int
    /// Where the worker lives: the longest stretch of its output that is copied. Nil for a dead one, whose output becomes the segment.
    private let copiedBytesMax: Int?
    private let result = Mutex<Result<Made, StoreError>?>(nil)

    init(
        worker: BorrowerID, output: OutputFile, room: Room?, lent: [SegmentID: [RangeSet]],
        fileBytes: [SegmentID: Int], poolBytesMax: Int, copiedBytesMax: Int? = nil
    ) {
        self.worker = worker
        self.output = output
        self.room = room
        self.lent = lent
        self.fileBytes = fileBytes
        self.poolBytesMax = poolBytesMax
        self.copiedBytesMax = copiedBytesMax
        outputID = output.id
    }

    /// The size of the file of a segment that the worker may name: its own output, its room, or of a table that was lent to it. Nil
    /// for any other.
    public func fileBytes(of id: SegmentID) -> Int? { fileBytes[id] }

    /// Checks the references of tables, and trims and locks the output, or copies what it has to. On a thread that may wait, where the worker is
    /// dead; it may be repeated after a failure.
    ///
    /// - Parameter publications: the tables; they may share bytes.
    /// - Throws: `badReference`, `tampered`, `unsuitable`, `stillMapped`, `system`. The store's `finish` says it again.
    public func run(_ publications: [Publication]) throws(StoreError) {
        do throws(StoreError) {
            let made = try make(publications)
            result.withLock { $0 = .success(made) }
        } catch {
            result.withLock { $0 = .failure(error) }
            throw error
        }
    }

    private func make(_ publications: [Publication]) throws(StoreError) -> Made {
        var named: [[SegmentID: RangeSet]] = []
        for publication in publications { named.append(try check(publication.references)) }
        let own = named.reduce(RangeSet()) { $0.union($1[output.id] ?? RangeSet()) }
        let tables = zip(publications, named).map { publication, named in
            Table(descriptor: publication.descriptor, named: coarse(named))
        }
        if let copiedBytesMax {
            guard !own.isEmpty else { return Made(tables: tables, isCopy: true) }
            let copy = try output.copy(stretchWith: own, bytesMax: copiedBytesMax)
            return Made(
                tables: tables, output: copy, reader: try copy.applyLock(), extractedBytes: own.bytes, isCopy: true)
        }
        try output.checkUntouched()
        HoldPoint.trim.pass()
        let written = try room.flatMap { room throws(StoreError) in try take(room, named) }
        guard !own.isEmpty else { return Made(tables: tables, room: written) }
        if let copy = copyForRecycling(around: own) {
            let reader = try copy.applyLock()
            return Made(
                tables: tables, output: copy, reader: reader, oldFile: output.file, extractedBytes: own.bytes,
                room: written)
        }
        try output.trim(to: own)
        return Made(tables: tables, output: output, reader: try output.applyLock(), room: written)
    }

    /// Takes in the room; nil where no table names any of it.
    private func take(_ room: Room, _ named: [[SegmentID: RangeSet]]) throws(StoreError) -> WrittenRoom? {
        let ranges = named.reduce(RangeSet()) { $0.union($1[room.id] ?? RangeSet()) }
        guard !ranges.isEmpty, let bytes = fileBytes[room.id] else { return nil }
        return try room.take(bytes: bytes, naming: ranges)
    }

    /// Checks that a table names nothing but the worker's output and what was lent to the worker.
    private func check(_ references: References) throws(StoreError) -> [SegmentID: RangeSet] {
        var named: [SegmentID: RangeSet] = [:]
        for list in references.lists { named[list.segment] = RangeSet(list.ranges) }
        for (id, ranges) in named where id != output.id { try checkLent(ranges, of: id) }
        if let bounds = named[output.id]?.bounds, bounds.upperBound > output.bytes {
            let message = "a reference ends at byte \(bounds.upperBound) of the output, which has \(output.bytes)"
            throw StoreError(.badReference, output.id, message)
        }
        return named
    }

    /// What is kept in mind of what a table names.
    private func coarse(_ named: [SegmentID: RangeSet]) -> [SegmentID: RangeSet] {
        named.reduce(into: [:]) { coarse, entry in
            let whole = entry.key == output.id ? RangeSet([0..<output.bytes]) : lentRanges(of: entry.key)
            coarse[entry.key] = entry.value.coarse(in: whole)
        }
    }

    /// What the tables that were lent to the worker name of a segment.
    private func lentRanges(of id: SegmentID) -> RangeSet { (lent[id] ?? []).reduce(RangeSet()) { $0.union($1) } }

    /// Checks that the worker names nothing of an input but what tables lent to it name.
    private func checkLent(_ ranges: RangeSet, of id: SegmentID) throws(StoreError) {
        let lent = lentRanges(of: id)
        guard let stray = ranges.ranges.first(where: { lent.index(holding: $0) == nil }) else { return }
        throw StoreError(
            .badReference, id, "worker \(worker) names bytes \(stray) of it, which no table lent to the worker names")
    }

    /// Where the tables name next to nothing of an output, a copy of that: its memory is kept for a later one then, as giving it back and
    /// faulting in new would cost far more than the copy. Nil where that isn't so or can't be: trimming is always possible.
    private func copyForRecycling(around own: RangeSet) -> OutputFile? {
        guard own.bytes <= Segment.extractedBytesMax, let resident = try? output.residentBytes(),
            resident >= Segment.recycledBytesMin, resident <= poolBytesMax
        else { return nil }
        return try? output.copy(keeping: own)
    }

    /// What came of `run`; nil when it was never called.
    func take() -> Result<Made, StoreError>? {
        result.withLock { result in
            defer { result = nil }
            return result
        }
    }
}

extension SegmentStore {
    /// A table as a worker publishes it.
    public typealias Publication = PublishWork.Publication

    /// Publishes a worker's table, as `publish(by:tables:)` does.
    public func publish(
        by worker: BorrowerID, descriptor: DescriptorBox, references: References
    ) throws(StoreError) -> TableID {
        try publish(by: worker, tables: [Publication(descriptor: descriptor, references: references)])[0]
    }

    /// Publishes a worker's tables at once: `beginPublish`, the work, and `finish`.
    ///
    /// - Returns: their numbers, in their order. Each is released by itself.
    /// - Throws: `badReference`, `tampered`, `stillMapped`, `system`.
    public func publish(
        by worker: BorrowerID, tables publications: [Publication]
    ) throws(StoreError) -> [TableID] {
        let work = beginPublish(by: worker)
        // What fails is said again at the end.
        try? work.run(publications)
        return try finish(work)
    }

    /// Begins to publish a worker's tables: their references are to be checked, and the output is to be trimmed and locked.
    ///
    /// Only after the worker and everything it started are dead, after `measureOutput`, and before `end(worker)`, which has to wait for
    /// `finish`. The call may be repeated after a failure.
    ///
    /// - Returns: the work, for a thread that may wait. Time and memory of this call are those of the segments lent to the worker.
    public func beginPublish(by worker: BorrowerID) -> PublishWork {
        guard let output = outputs[worker].flatMap({ segments[$0] }), let file = output.outputFile else {
            preconditionFailure("worker \(worker) has no output, or has published it")
        }
        noteResidentPeak()
        var (lent, fileBytes) = lentRanges(to: worker)
        fileBytes[output.id] = output.bytes
        // Its worker is dead, so that its size stays. A room that can't be measured can't be named.
        if let room = rooms[worker], let bytes = try? room.bytes() {
            fileBytes[room.id] = bytes
            lent[room.id] = [RangeSet([0..<bytes])]
        }
        return PublishWork(
            worker: worker, output: file, room: rooms[worker], lent: lent, fileBytes: fileBytes,
            poolBytesMax: pool.bytesMax)
    }

    /// Takes in what a worker has published. All or nothing: after an error no table is there, and what remains of the worker goes with
    /// `end(worker)`.
    ///
    /// - Parameter work: when its `run` has returned.
    /// - Returns: the tables' numbers, in their order. Each is released by itself.
    /// - Throws: what `run` threw.
    public func finish(_ work: PublishWork) throws(StoreError) -> [TableID] {
        guard let output = outputs[work.worker].flatMap({ segments[$0] }), let result = work.take() else {
            preconditionFailure("worker \(work.worker) has published nothing, or it was taken in already")
        }
        let made = try result.get()
        // Nothing can fail from here on. An output that no table names stays the worker's until it ends.
        if made.isCopy {
            install(made, work.outputID, of: output)
        } else if let file = made.output, let reader = made.reader {
            output.publish(file, reader: reader)
            outputs[work.worker] = nil
        }
        if let room = made.room { install(room, of: work.worker) }
        if let old = made.oldFile {
            extractedBytes += made.extractedBytes
            keep(old, bytes: output.bytes, model: output.model)
        }
        return made.tables.map { take($0) }
    }

    // MARK: While the worker lives

    /// Begins to publish a table of a worker that lives and can still write all that it wrote: what the table names of its output is copied to a
    /// segment of its own, and the output stays the worker's until it ends.
    ///
    /// The copy may be of any moment, as a worker may publish what it likes: it is made before anybody reads the table, and nobody else ever has
    /// it. So that it costs next to nothing, it is of one stretch, which must be short.
    ///
    /// - Parameter copiedBytesMax: the longest stretch that is copied.
    /// - Returns: the work, which needs no other thread; `finish` takes it in. Nil where the worker writes to a disk besides.
    public func beginHandOver(by worker: BorrowerID, copiedBytesMax: Int) -> PublishWork? {
        guard rooms[worker] == nil, let output = outputs[worker].flatMap({ segments[$0] }), let writer = output.writer
        else { return nil }
        let (lent, lentBytes) = lentRanges(to: worker)
        let file = OutputFile(id: nextSegmentID(), lock: lock, bytes: output.bytesMade, file: writer)
        return PublishWork(
            worker: worker, output: file, room: nil, lent: lent,
            fileBytes: lentBytes.merging([file.id: file.bytes]) { $1 }, poolBytesMax: 0,
            copiedBytesMax: copiedBytesMax)
    }

    /// Takes in the copy of a part of an output, if it has one.
    ///
    /// Nothing is punched out of it, and its memory goes with it: it is next to nothing.
    private func install(_ made: PublishWork.Made, _ id: SegmentID, of output: Segment) {
        guard let file = made.output, let reader = made.reader else { return }
        let segment = Segment(id: id, lock: lock, bytes: file.bytes, producer: "", model: output.model, file: file.file)
        segment.publish(file, reader: reader)
        segment.writer = nil
        segments[id] = segment
        extractedBytes += made.extractedBytes
    }

    /// What the tables that were lent to a worker name, and the sizes of their segments.
    private func lentRanges(to worker: BorrowerID) -> (ranges: [SegmentID: [RangeSet]], fileBytes: [SegmentID: Int]) {
        var lent: [SegmentID: [RangeSet]] = [:]
        // What is lent stays as it is until the worker ends.
        for table in loans[worker] ?? [] {
            for (id, ranges) in tables[table]?.named ?? [:] { lent[id, default: []].append(ranges) }
        }
        return (lent, lent.reduce(into: [:]) { $0[$1.key] = segments[$1.key]?.bytes })
    }
}
