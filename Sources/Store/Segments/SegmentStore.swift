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
    var outputs: [BorrowerID: SegmentID] = [:]
    /// The files on a disk that workers write to.
    var rooms: [BorrowerID: Room] = [:]
    private(set) var loans: [BorrowerID: Set<TableID>] = [:]
    /// The tables that `takeChangedTables` is to tell of.
    var changedTables: Set<TableID> = []
    var residentBytesPeak = 0
    /// How many tables were published since memory was last measured.
    var unmeasured = 0
    /// What was moved out of outputs of which next to nothing was published, in bytes, since the store was made.
    public internal(set) var extractedBytes = 0
    /// What was read back from a disk so that it could be lent, in bytes, since the store was made.
    public internal(set) var restoredBytes = 0
    /// Who does what takes its time.
    let chores: StoreChores

    /// An empty store.
    ///
    /// - Parameters:
    ///   - lock: `readOnlyDescriptor` only where every worker runs as another user than the engine.
    ///   - poolBytesMax: the most memory that is kept faulted in for future outputs.
    ///   - chores: does what takes its time on another thread; without one it is done at once.
    public init(
        lock: Lock, poolBytesMax: Int,
        chores: @escaping StoreChores = { _, work, then in
            work()
            then()
        }
    ) {
        self.lock = lock
        self.chores = chores
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
        bytes: Int, for worker: BorrowerID, growthBytesMax: Int = 0, expectedBytes: Int = 0, model: String = "",
        recycles: Bool = true
    ) throws(StoreError) -> OutputSegment {
        precondition(bytes > 0, "an output segment has room for something")
        precondition(outputs[worker] == nil, "worker \(worker) has an output already")
        let rounded = (bytes + Machine.hugePageBytes - 1) & ~(Machine.hugePageBytes - 1)
        let id = nextSegmentID()
        let recycled = recycles ? pool.take(bytes: rounded, expectedBytes: expectedBytes, model: model) : nil
        letGo(pool.takeDropped())
        let file = if let recycled { recycled.file } else { try Segment.makeFile(id, bytes: rounded, lock: lock) }
        segments[id] = Segment(
            id: id, lock: lock, bytes: rounded, growthBytesMax: growthBytesMax, producer: worker, model: model,
            file: file)
        outputs[worker] = id
        return OutputSegment(id: id, file: file, bytes: rounded, recycledBytes: recycled?.residentBytes ?? 0)
    }

    /// Keeps an object alive as long as the memory of a worker's output is held: the owner of the control group that it is
    /// charged to.
    ///
    /// It is let go of when no table names the memory any more, also when the memory itself is kept for a later output.
    public func attach(_ companion: AnyObject, toOutputOf worker: BorrowerID) {
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
    public func measureOutput(of worker: BorrowerID) throws(StoreError) {
        guard let output = outputs[worker].flatMap({ segments[$0] }) else {
            preconditionFailure("worker \(worker) has no output, or has published it")
        }
        try output.measure()
    }

    func take(_ table: Table) -> TableID {
        lastTable += 1
        let id = TableID(rawValue: lastTable)
        for (segment, ranges) in table.named {
            guard let segment = segments[segment] else { preconditionFailure("a checked segment is gone") }
            add(id, naming: ranges, to: segment)
        }
        tables[id] = table
        return id
    }

    /// Lends a table to a worker: it stays until the worker has ended, whether it is released or not.
    ///
    /// A worker that reads no table of a segment never gets the segment. A table that must be restored first
    /// (`mustRestore`) can't be lent.
    public func lend(_ table: TableID, to worker: BorrowerID) -> Loan {
        guard var entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        precondition(!mustRestore(table), "table \(table) is on a disk, where workers could change it")
        entry.readers.insert(worker)
        tables[table] = entry
        changedTables.insert(table)
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
    public func outputResidentBytes(of worker: BorrowerID) -> Int {
        outputs[worker].flatMap { segments[$0] }.flatMap { try? $0.residentBytes() } ?? 0
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
    public func end(_ worker: BorrowerID) throws(StoreError) {
        if let output = outputs.removeValue(forKey: worker), let segment = segments[output] {
            recycle(segment)
        }
        if let room = rooms.removeValue(forKey: worker) { letGo([room.file]) }
        let lent = loans.removeValue(forKey: worker) ?? []
        for table in lent { tables[table]?.readers.remove(worker) }
        changedTables.formUnion(lent)
        try dropUnneeded(lent.sorted())
    }

    func dropUnneeded(_ candidates: [TableID]) throws(StoreError) {
        var affected: Set<SegmentID> = []
        var descriptors: [DescriptorBox] = []
        defer { letGo(descriptors) }
        for id in candidates {
            guard let table = tables[id], table.isReleased, table.readers.isEmpty else { continue }
            tables[id] = nil
            descriptors.append(table.descriptor)
            for (number, ranges) in table.named {
                if let segment = segments[number] { remove(id, naming: ranges, from: segment) }
                affected.insert(number)
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
    /// - Returns: the memory that is freed, now or soon, in bytes.
    @discardableResult
    func giveBack(_ segment: Segment, keepsForLater: Bool = true) throws(StoreError) -> Int {
        if segment.tables.isEmpty {
            let bytes = (try? segment.residentBytes()) ?? 0
            if keepsForLater { recycle(segment) } else { drop(segment) }
            return bytes
        }
        let before = segment.named
        segment.named = segment.sharing.named
        let dead = before.subtracting(segment.named)
        guard !dead.isEmpty || segment.owesTrim else { return 0 }
        let freed = try punch(segment, dead: dead)
        return segment.place == .memory ? freed : 0
    }

    /// Keeps the memory of a segment that is wholly free for a later output, where its file can still be written.
    ///
    /// No live worker has it: its producer is dead, and a reader's table would still name it.
    private func recycle(_ segment: Segment) {
        // What is on swap would have to be read in to be zeroed.
        guard segment.place == .memory, segment.swappedBytes == 0, isUntouched(segment), let writer = segment.writer
        else {
            return drop(segment)
        }
        segments[segment.id] = nil
        keep(writer, bytes: segment.bytesMade, model: segment.model, of: segment)
    }

    /// Whether a file that can still be written is as its producer was given it, but for its content and for memory that was moved to
    /// its end.
    private func isUntouched(_ segment: Segment) -> Bool {
        do throws(StoreError) {
            // A worker that failed may have moved memory into it before.
            if case .output = segment.phase { try segment.measure() }
            guard let file = segment.outputFile else { return false }
            try file.checkUntouched()
            return true
        } catch {
            return false
        }
    }
}
