import Glibc
import System

/// The owner of segments and tables: it knows which worker holds which table, and frees memory that no table names.
///
/// A segment is born as the output of one worker. Publishing the worker's table trims and locks it; from then on tables
/// name ranges of it, and what no table names is given back. A table lives until the engine has released it and every
/// worker it was lent to has ended.
///
/// Not thread-safe, on purpose: the engine calls it from one place.
public final class SegmentStore {
    /// How published bytes are kept from changing.
    public let lock: Lock

    var segments: [SegmentID: Segment] = [:]
    var tables: [TableID: Table] = [:]
    var pool: Pool
    var lastSegment: UInt64 = 0
    private var lastTable: UInt64 = 0
    private var outputs: [WorkerID: SegmentID] = [:]
    private var loans: [WorkerID: Set<TableID>] = [:]
    var residentBytesPeak = 0
    /// Bytes moved out of outputs of which next to nothing was published, since the store was made.
    public private(set) var movedBytes = 0
    /// Bytes read back from a disk so that their table could be lent, since the store was made.
    public internal(set) var restoredBytes = 0

    /// An empty store.
    ///
    /// - Parameters:
    ///   - lock: `readOnlyDescriptor` only where every worker runs as another user than the engine.
    ///   - poolBytesMax: the most memory that is kept faulted in for future outputs.
    public init(lock: Lock, poolBytesMax: Int) {
        self.lock = lock
        self.pool = Pool(bytesMax: poolBytesMax)
    }

    /// Makes the segment for a worker's output: a sparse file, all zero, recycled where there is one to recycle.
    ///
    /// - Parameters:
    ///   - bytes: the size of the file (address space, not memory); rounded up to 2 MiB.
    ///   - worker: its producer, which has no other output.
    ///   - growthBytesMax: how much longer the worker may make it, by moving memory to its end.
    ///   - expectedBytes: how much memory it will probably use, to choose what to recycle; 0 when unknown.
    ///   - model: the model whose output it is, by a name that stays the same from run to run: it gets the same memory again.
    ///   - recycles: whether it may be memory that was used before; that stays charged to the group that touched it first.
    public func makeOutputSegment(
        bytes: Int, for worker: WorkerID, growthBytesMax: Int = 0, expectedBytes: Int = 0, model: String = "",
        recycles: Bool = true
    ) throws(StoreError) -> Output {
        precondition(bytes > 0, "an output segment has room for something")
        precondition(outputs[worker] == nil, "worker \(worker) has an output already")
        let rounded = (bytes + Machine.hugePageBytes - 1) & ~(Machine.hugePageBytes - 1)
        let id = nextSegmentID()
        let recycled = recycles ? pool.take(bytes: rounded, expectedBytes: expectedBytes, model: model) : nil
        let file = if let recycled { recycled.file } else { try Segment.makeFile(id, bytes: rounded, lock: lock) }
        segments[id] = Segment(
            id: id, lock: lock, bytes: rounded, growthBytesMax: growthBytesMax, producer: worker, model: model,
            file: file)
        outputs[worker] = id
        return Output(id: id, file: file, bytes: rounded, recycledBytes: recycled?.residentBytes ?? 0)
    }

    /// Keeps an object alive as long as the memory of a worker's output is held: the owner of the control group that it is
    /// charged to.
    ///
    /// It is let go of when no table names the memory any more, also when the memory itself is kept for a later output.
    public func attach(_ companion: AnyObject, toOutputOf worker: WorkerID) {
        guard let output = outputs[worker].flatMap({ segments[$0] }) else {
            preconditionFailure("worker \(worker) has no output, or has published it")
        }
        output.companion = companion
    }

    /// The objects attached to outputs that a table names bytes of, and that are in memory.
    public func companions(of table: TableID) -> [AnyObject] {
        memorySegments(of: table).compactMap { segments[$0]?.companion }
    }

    func nextSegmentID() -> SegmentID {
        lastSegment += 1
        return SegmentID(rawValue: lastSegment)
    }

    /// Measures by how much a worker has lengthened its output by moving memory into it. Before its table is published.
    ///
    /// Only after the worker and everything it started are dead.
    ///
    /// - Throws: `tampered`, `system`.
    public func measureOutput(of worker: WorkerID) throws(StoreError) {
        guard let output = outputs[worker].flatMap({ segments[$0] }) else {
            preconditionFailure("worker \(worker) has no output, or has published it")
        }
        try output.measure()
    }

    /// A table as a worker publishes it.
    public struct Publication {
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

    /// Publishes a worker's table, as `publish(by:tables:)` does.
    public func publish(
        by worker: WorkerID, descriptor: DescriptorBox, references: References
    ) throws(StoreError) -> TableID {
        try publish(by: worker, tables: [Publication(descriptor: descriptor, references: references)])[0]
    }

    /// Publishes a worker's tables: checks their references, trims and locks its output, and takes them in.
    ///
    /// Only after the worker and everything it started are dead, and before `end(worker)`. All or nothing: after an error no
    /// table is there, and what remains of the worker goes with `end(worker)`; the call may also be repeated.
    ///
    /// - Parameters:
    ///   - worker: the producer.
    ///   - publications: the tables; they may share bytes.
    /// - Returns: their numbers, in their order. Each is released by itself.
    /// - Throws: `badReference`, `tampered`, `stillMapped`, `system`.
    public func publish(
        by worker: WorkerID, tables publications: [Publication]
    ) throws(StoreError) -> [TableID] {
        guard let output = outputs[worker].flatMap({ segments[$0] }) else {
            preconditionFailure("worker \(worker) has no output, or has published it")
        }
        var named: [[SegmentID: RangeSet]] = []
        for publication in publications { named.append(try check(publication.references, of: worker, output)) }
        try output.checkUntouched()
        let own = named.reduce(RangeSet()) { $0.union($1[output.id] ?? RangeSet()) }
        if !own.isEmpty {
            noteResidentPeak()
            if !recycleMemory(of: output, around: own) { try output.trim(to: own) }
            output.reader = try output.applyLock()
            if lock == .sealed { output.writer = nil }
            output.phase = .published
            outputs[worker] = nil
        }
        // Nothing can fail from here on. An output that no table names stays the worker's until it ends.
        return zip(publications, named).map { take(Table(descriptor: $0.descriptor, named: $1)) }
    }

    /// Checks that a table names nothing but bytes of the worker's output and of tables lent to the worker.
    private func check(
        _ references: References, of worker: WorkerID, _ output: Segment
    ) throws(StoreError) -> [SegmentID: RangeSet] {
        var named: [SegmentID: RangeSet] = [:]
        for list in references.lists { named[list.segment] = RangeSet(list.ranges) }
        for (id, ranges) in named where id != output.id { try checkLent(ranges, of: id, to: worker) }
        if let bounds = named[output.id]?.bounds, bounds.upperBound > output.bytes {
            let message = "a reference ends at byte \(bounds.upperBound) of the output, which has \(output.bytes)"
            throw StoreError(.badReference, output.id, message)
        }
        return named.reduce(into: [:]) { coarse, entry in
            coarse[entry.key] =
                entry.key == output.id
                ? entry.value.coarse(in: RangeSet([0..<output.bytes]))
                : entry.value.coarse(in: lent(entry.key, to: worker))
        }
    }

    /// If a table names next to nothing of an output, moves these bytes to a new file and keeps the output's memory for a later
    /// one: freeing it and faulting in new memory would cost far more than the copy.
    ///
    /// - Returns: whether that was done. If it can't be, trimming is always possible.
    private func recycleMemory(of output: Segment, around own: RangeSet) -> Bool {
        guard own.bytes <= Segment.movedBytesMax, let resident = try? output.residentBytes(),
            resident >= Segment.recycledBytesMin, resident <= pool.bytesMax,
            let file = try? output.replaceFile(keeping: own)
        else { return false }
        movedBytes += own.bytes
        pool.add(file, bytes: output.bytes, model: output.model)
        return true
    }

    func take(_ table: Table) -> TableID {
        lastTable += 1
        let id = TableID(rawValue: lastTable)
        for (segment, ranges) in table.named {
            guard let segment = segments[segment] else { preconditionFailure("a checked segment is gone") }
            segment.tables.insert(id)
            segment.named = segment.named.union(ranges)
        }
        tables[id] = table
        return id
    }

    /// Checks that the bytes of an input that a worker names are bytes that tables lent to it name.
    private func checkLent(_ ranges: RangeSet, of id: SegmentID, to worker: WorkerID) throws(StoreError) {
        let lent = lent(id, to: worker)
        guard let stray = ranges.ranges.first(where: { lent.index(holding: $0) == nil }) else { return }
        throw StoreError(
            .badReference, id, "worker \(worker) names bytes \(stray) of it, which no table lent to the worker names")
    }

    /// The bytes of a segment that tables lent to a worker name.
    private func lent(_ id: SegmentID, to worker: WorkerID) -> RangeSet {
        var lent = RangeSet()
        for table in loans[worker] ?? [] {
            if let part = tables[table]?.named[id] { lent = lent.union(part) }
        }
        return lent
    }

    /// Lends a table to a worker: it stays until the worker has ended, whether it is released or not.
    ///
    /// A worker that reads no table of a segment never gets the segment. A table that must be restored first
    /// (`mustRestore`) can't be lent.
    public func lend(_ table: TableID, to worker: WorkerID) -> Loan {
        guard var entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        precondition(!mustRestore(table), "table \(table) is on a disk, where workers could change it")
        entry.readers.insert(worker)
        tables[table] = entry
        loans[worker, default: []].insert(table)
        let files = entry.named.keys.sorted().map { id in
            guard let segment = segments[id], let file = segment.reader else {
                preconditionFailure("segment \(id) is not published")
            }
            segment.swappedBytes = 0
            return (id: id, file: file)
        }
        return Loan(descriptor: entry.descriptor, segments: files)
    }

    /// A table and its files for this process alone, to be read before anything else happens; also one that must be restored
    /// before it can be lent.
    public func view(of table: TableID) -> Loan {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        return Loan(descriptor: entry.descriptor, segments: files(of: entry))
    }

    private func files(of table: Table) -> [(id: SegmentID, file: DescriptorBox)] {
        table.named.keys.sorted().map { id in
            guard let file = segments[id]?.reader else { preconditionFailure("segment \(id) is not published") }
            return (id: id, file: file)
        }
    }

    /// A table's SIPC descriptor.
    public func descriptor(of table: TableID) -> DescriptorBox {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        return entry.descriptor
    }

    /// The memory that a worker's output takes now, in bytes; 0 when it has none.
    public func outputResidentBytes(of worker: WorkerID) -> Int {
        outputs[worker].flatMap { segments[$0] }.flatMap { try? $0.residentBytes() } ?? 0
    }

    /// The file size of a segment that a worker may name: its own output, or one of a table that was lent to it. Nil for any
    /// other.
    public func fileBytes(of id: SegmentID, namedBy worker: WorkerID) -> Int? {
        let isLent = (loans[worker] ?? []).contains { tables[$0]?.named[id] != nil }
        return isLent || outputs[worker] == id ? segments[id]?.bytes : nil
    }

    /// Whether the store still has a table.
    public func contains(_ table: TableID) -> Bool { tables[table] != nil }

    /// Releases a table that the engine no longer needs: it goes now, or with the last worker that may be reading it.
    ///
    /// - Throws: `system` when memory could not be given back. The table is gone nevertheless, and the memory goes with the next
    ///   release on the same segment.
    public func release(_ table: TableID) throws(StoreError) {
        guard tables[table] != nil else { preconditionFailure("table \(table) is gone") }
        tables[table]?.isReleased = true
        try dropUnneeded([table])
    }

    /// Ends a worker that is dead with everything it started: its unpublished output goes, and released tables that only it read.
    ///
    /// - Throws: as `release`.
    public func end(_ worker: WorkerID) throws(StoreError) {
        if let output = outputs.removeValue(forKey: worker), let segment = segments.removeValue(forKey: output) {
            recycle(segment)
        }
        let lent = loans.removeValue(forKey: worker) ?? []
        for table in lent { tables[table]?.readers.remove(worker) }
        try dropUnneeded(lent.sorted())
    }

    func dropUnneeded(_ candidates: [TableID]) throws(StoreError) {
        var affected: Set<SegmentID> = []
        for id in candidates {
            guard let table = tables[id], table.isReleased, table.readers.isEmpty else { continue }
            tables[id] = nil
            for segment in table.named.keys {
                segments[segment]?.tables.remove(id)
                affected.insert(segment)
            }
        }
        var failure: StoreError?
        for id in affected.sorted() {
            guard let segment = segments[id] else { continue }
            do throws(StoreError) {
                try giveBack(segment)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// Frees the bytes of a segment that no table names any more.
    ///
    /// - Parameter keepsForLater: whether the memory of a segment that is wholly free may be kept for a later output.
    func giveBack(_ segment: Segment, keepsForLater: Bool = true) throws(StoreError) {
        if segment.tables.isEmpty {
            segments[segment.id] = nil
            if keepsForLater { recycle(segment) }
            return
        }
        let before = segment.named
        segment.named = naming(segment)
        let dead = before.subtracting(segment.named)
        if !dead.isEmpty || segment.owesTrim { try segment.punch(dead: dead) }
    }

    /// The bytes of a segment that its tables name.
    func naming(_ segment: Segment) -> RangeSet {
        segment.tables.reduce(RangeSet()) { $0.union(tables[$1]?.named[segment.id] ?? RangeSet()) }
    }

    /// Keeps the memory of a segment that is wholly free for a later output, where its file can still be written.
    ///
    /// No live worker has it: its producer is dead, and a reader's table would still name it.
    private func recycle(_ segment: Segment) {
        // Pages on swap would have to be read in to be zeroed.
        guard let writer = segment.writer, segment.place == .memory, segment.swappedBytes == 0 else { return }
        do throws(StoreError) {
            // A worker that failed may have moved memory into it before.
            if case .output = segment.phase { try segment.measure() }
            try segment.checkUntouched()
            try segment.shrink()
        } catch {
            return
        }
        pool.add(writer, bytes: segment.bytes, model: segment.model)
    }
}
