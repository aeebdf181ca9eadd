import Glibc
import SeededNumbers
import System
import Testing

@testable import SIPC
@testable import Store

private let huge = Machine.hugePageBytes
private let page = Machine.pageBytes

@Suite struct SpillTests {
    private let columns = [64..<64 + 800_000, huge..<huge + 800_000, 3 * huge + 8..<3 * huge + 800_008]

    private func spill(_ store: SegmentStore, _ table: TableID) throws -> MoveFigures {
        let work = try store.beginSpill(table, to: diskFolder())
        try work.run()
        guard case .moved(let figures) = store.finish(work) else {
            throw StoreError(.unsuitable, nil, "the spill was superseded")
        }
        return figures
    }

    @Test(arguments: everyLock) func aSpilledTableIsOnTheDiskAndReadsTheSame(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 64 << 20)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let before = try store.stream(of: table)
        let residentBytes = try store.usage().residentBytes
        #expect(residentBytes >= 2_400_000)
        let figures = try spill(store, table)
        #expect(figures.freedBytes == residentBytes && figures.tables == 1 && figures.bytesPerSecond > 0)
        #expect(figures.cachedBytes == 0, "what is written is not kept in memory")
        let usage = try store.usage()
        #expect(usage.residentBytes == 0 && usage.pooledBytes == 0 && usage.segments == 1)
        #expect(usage.spilledBytes >= figures.bytes && usage.namedBytes == 2_400_000)
        let isTheSame = try same(before, store.stream(of: table))
        #expect(isTheSame)
        try store.release(table)
        #expect(try store.usage() == Usage(residentBytesPeak: store.usage().residentBytesPeak))
    }

    @Test func theFileIsAStandardArrowFileWithAlignedBuffers() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let before = try store.stream(of: table)
        _ = try spill(store, table)
        let loan = store.lend(table, to: "w2")
        let file = try MappedSegment(id: 99, loan.segments[0].file.descriptor)
        let descriptor = try Descriptor(arrowFile: file)
        descriptor.forEachReference { #expect($0.offset % 64 == 0) }
        let output = try FileDescriptor.memory(named: "stream", bytes: 0, sealable: false)
        try descriptor.writeStream([file], to: output)
        let isTheSame = same(before, try output.bytes(0..<(try output.status().bytes)))
        #expect(isTheSame)
        // A reader can't write to it, and nobody can by name.
        #expect(throws: SystemError.self) { try loan.segments[0].file.descriptor.allocate(bytes: 10) }
    }

    @Test func aSealedStoreLendsASpilledTableOnlyWhenItIsBackInMemory() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let before = try store.stream(of: table)
        #expect(!store.mustRestore(table))
        _ = try spill(store, table)
        #expect(store.mustRestore(table))
        let work = try store.beginRestore(table)
        try work.run()
        guard case .moved(let figures) = store.finish(work) else {
            Issue.record("it was not restored")
            return
        }
        #expect(figures.bytes == 2_400_000 && figures.tables == 1 && store.restoredBytes == 2_400_000)
        #expect(!store.mustRestore(table))
        #expect(try store.usage().spilledBytes == 0 && store.usage().segments == 1)
        let isTheSame = try same(before, store.stream(of: table))
        #expect(isTheSame)
        let loan = store.lend(table, to: "w2")
        #expect(try loan.segments[0].file.descriptor.seals() == .all)
        #expect(throws: StoreError.self) { try store.beginRestore(table) }
    }

    @Test(arguments: everyLock) func theMemoryIsFreeWhenTheWorkLetsGo(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        weak let file = store.segments.values.first?.reader
        let work = try store.beginSpill(table, to: diskFolder())
        try work.run()
        #expect(file != nil)
        _ = store.finish(work)
        // Freeing takes a while, and so is left to whoever may wait.
        #expect(file != nil)
        work.letGo()
        #expect(file == nil)
    }

    @Test(arguments: everyLock) func tablesThatShareTheBytesMoveAlong(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let whole = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let inner = columns[1].lowerBound + 80..<columns[1].lowerBound + 8000
        let part = try store.publishPart([inner], of: whole, by: "w2")
        let before = (try store.stream(of: whole), try store.stream(of: part))
        let figures = try spill(store, whole)
        #expect(figures.tables == 2)
        #expect(try store.usage().residentBytes == 0 && store.usage().segments == 1)
        var isTheSame = try same(before.0, store.stream(of: whole)) && same(before.1, store.stream(of: part))
        #expect(isTheSame)
        // What the smaller one does not name leaves the disk.
        let spilledBytes = try store.usage().spilledBytes
        try store.release(whole)
        #expect(try store.usage().spilledBytes <= spilledBytes - 1_500_000)
        isTheSame = try same(before.1, store.stream(of: part))
        #expect(isTheSame)
        let work = try store.beginRestore(part)
        try work.run()
        guard case .moved = store.finish(work) else {
            Issue.record("it was not restored")
            return
        }
        isTheSame = try same(before.1, store.stream(of: part))
        #expect(isTheSame)
        #expect(try store.usage().spilledBytes == 0)
    }

    @Test func bytesThatSomebodyReadsStayInMemory() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let whole = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let part = try store.publishPart([columns[1]], of: whole, by: "w2")
        let before = (try store.stream(of: whole), try store.stream(of: part))
        let loan = store.lend(part, to: "w3")
        let figures = try spill(store, whole)
        #expect(figures.tables == 1)
        #expect(try store.usage().residentBytes <= 800_000 + 2 * page)
        #expect(try store.usage().residentBytes >= 800_000)
        let isTheSame = try same(before.0, store.stream(of: whole)) && same(before.1, store.stream(of: part))
        #expect(isTheSame)
        #expect(store.lend(part, to: "w4").segments.map(\.id) == loan.segments.map(\.id))
    }

    @Test func aSealedSegmentOfWhichSomethingStaysCanBeRewritten() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let whole = try store.publishColumns([64..<64 + 12 * huge], bytes: 16 * huge, by: "w1")
        let part = try store.publishPart([128..<928], of: whole, by: "w2")
        _ = store.lend(part, to: "w3")
        _ = try spill(store, whole)
        #expect(try store.usage().residentBytes >= 12 * huge)
        try store.end("w3")
        #expect(try store.compactable().count == 1)
    }

    @Test(arguments: everyLock) func aTableThatIsLentMeanwhileStays(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let work = try store.beginSpill(table, to: diskFolder())
        let loan = store.lend(table, to: "w2")
        try work.run()
        guard case .superseded = store.finish(work) else {
            Issue.record("it was moved")
            return
        }
        #expect(try store.usage().spilledBytes == 0 && store.usage().residentBytes >= 2_400_000)
        #expect(store.lend(table, to: "w3").segments.map(\.id) == loan.segments.map(\.id))
    }

    @Test(arguments: everyLock) func aTableThatIsReleasedMeanwhileGoes(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 64 << 20)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let work = try store.beginSpill(table, to: diskFolder())
        try store.release(table)
        // What is being written is neither punched nor given to anybody else.
        #expect(store.contains(table))
        #expect(try store.usage().pooledBytes == 0)
        try work.run()
        guard case .superseded = store.finish(work) else {
            Issue.record("it was moved")
            return
        }
        #expect(!store.contains(table))
        #expect(try store.usage().segments == 0 && store.usage().spilledBytes == 0)
    }

    @Test func aSpillThatIsNeverWrittenChangesNothing() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let work = try store.beginSpill(table, to: diskFolder())
        guard case .superseded = store.finish(work) else {
            Issue.record("it was moved")
            return
        }
        #expect(try spill(store, table).tables == 1)
    }

    @Test(arguments: [ENOSPC, EDQUOT]) func aFullDiskIsSaidAndLosesNothing(code: Int32) throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let before = try store.stream(of: table)
        let work = try store.beginSpill(table, to: diskFolder())
        let error = #expect(throws: StoreError.self) {
            try FaultPlan(.allocate, errno: code).apply { try work.run() }
        }
        #expect(error?.code == .diskFull)
        #expect(error?.description.contains("table 1, \(work.bytes) bytes, to ") == true)
        #expect(error?.description.contains("free room on that disk") == true)
        guard case .failed(let again) = store.finish(work) else {
            Issue.record("it was moved")
            return
        }
        #expect(again.code == .diskFull)
        let isTheSame = try same(before, store.stream(of: table))
        #expect(isTheSame)
        #expect(try spill(store, table).tables == 1, "it can be tried again")
    }

    @Test func anyCallOfASpillAndARestoreMayFail() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let table = try store.publishColumns([0..<5 * huge, 8 * huge..<13 * huge], bytes: 16 * huge, by: "w1")
        let before = try store.stream(of: table)
        let folder = try diskFolder()
        func attempt(_ plan: FaultPlan, _ work: MoveWork) throws -> Bool {
            let isOnDisk = !store.diskSegments(of: table).isEmpty
            try? plan.apply { () throws(StoreError) in try work.run() }
            if case .moved = store.finish(work) { return true }
            let isTheSame = try same(before, store.stream(of: table))
            #expect(isTheSame && store.diskSegments(of: table).isEmpty != isOnDisk, "\(plan.fired)")
            return false
        }
        let record = (FaultPlan(), FaultPlan())
        #expect(try attempt(record.0, store.beginSpill(table, to: folder)))
        #expect(try attempt(record.1, store.beginRestore(table)))
        #expect(record.0.calls.contains(.allocate) && record.0.calls.contains(.writeback))
        #expect(record.0.calls.contains(.synchronize) && record.1.calls.contains(.addSeals))
        for (calls, isSpill) in [(record.0.calls, true), (record.1.calls, false)] {
            if !isSpill { #expect(try attempt(FaultPlan(), store.beginSpill(table, to: folder))) }
            var counts: [SystemCall: Int] = [:]
            for call in calls {
                counts[call, default: 0] += 1
                // Large pages are a wish.
                if call == .advise { continue }
                let plan = FaultPlan(call, occurrence: counts[call] ?? 0, errno: EIO)
                let isDone =
                    isSpill
                    ? try attempt(plan, store.beginSpill(table, to: folder))
                    : try attempt(plan, store.beginRestore(table))
                #expect(!isDone && plan.fired.count == 1, "\(call), \(counts[call] ?? 0)")
            }
        }
    }

    @Test func aFolderInMemoryIsRefused() throws {
        let error = #expect(throws: StoreError.self) { try SpillFolder("/dev/shm") }
        #expect(error?.code == .unsuitable)
        #expect(error?.description == "/dev/shm is in memory: spilling to it frees none; name a folder on a disk")
        #expect(throws: StoreError.self) { try SpillFolder("/nowhere") }
    }

    @Test func nothingOfASpillHasAName() throws {
        let folder = Path.parent(CommandLine.arguments[0]) + "/spill-\(getpid())"
        try Files.makeDirectory(folder)
        defer { try? Files.removeDirectory(folder) }
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let work = try store.beginSpill(table, to: SpillFolder(folder))
        try work.run()
        #expect(try Files.list(folder) == [])
        _ = store.finish(work)
        #expect(try Files.list(folder) == [])
    }

    @Test(arguments: everyLock) func whereFilesMustHaveANameATableIsSpilledAllTheSame(lock: Lock) throws {
        let folder = Path.parent(CommandLine.arguments[0]) + "/named-\(getpid())-\(lock)"
        try Files.makeDirectory(folder)
        defer { try? Files.removeDirectory(folder) }
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let before = try store.stream(of: table)
        for failing in [[.allocate], [.unlink], []] as [[SystemCall]] {
            let work = try store.beginSpill(table, to: SpillFolder(folder))
            let plan = FaultPlan(
                [Fault(.makeUnnamed, errno: EOPNOTSUPP)] + failing.map { Fault($0, errno: EIO) })
            try? plan.apply { () throws(StoreError) in try work.run() }
            #expect(plan.fired.count == 1 + failing.count)
            if case .moved = store.finish(work) { #expect(failing == []) } else { #expect(failing != []) }
            let isTheSame = try same(before, store.stream(of: table))
            #expect(isTheSame)
        }
        #expect(try Files.list(folder) == [], "also what could not be removed went with the next file")
        #expect(!store.diskSegments(of: table).isEmpty)
        let work = try store.beginRestore(table)
        try work.run()
        _ = store.finish(work)
        let isTheSame = try same(before, store.stream(of: table))
        #expect(isTheSame && store.diskSegments(of: table).isEmpty)
    }

    @Test(arguments: [nil, .allocate, .rename] as [SystemCall?])
    func whereFilesMustHaveANameATableIsSavedOrNothingIsLeft(failing: SystemCall?) throws {
        let folder = Path.parent(CommandLine.arguments[0]) + "/saved-\(getpid())-\(failing?.rawValue ?? "none")"
        try Files.makeDirectory(folder)
        let path = folder + "/key.arrow"
        defer {
            unlink(path)
            try? Files.removeDirectory(folder)
        }
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let work = try store.beginSave(table, in: Folder(folder), as: "key.arrow", key: "key")
        let faults = [Fault(.makeUnnamed, errno: EOPNOTSUPP)] + (failing.map { [Fault($0, errno: EIO)] } ?? [])
        let plan = FaultPlan(faults)
        try? plan.apply { () throws(StoreError) in try work.write() }
        store.finishSave(work)
        #expect(plan.fired.count == faults.count)
        #expect(try Files.list(folder) == (failing == nil ? ["key.arrow"] : []))
        guard failing == nil else { return }
        let again = try store.takeSaved(DescriptorBox(FileDescriptor.open(path)))
        let isTheSame = try same(store.stream(of: table), store.stream(of: again))
        #expect(isTheSame)
    }

    @Test func aSavedTableWithoutRowsIsTakenInAndRead() throws {
        let folder = Path.parent(CommandLine.arguments[0]) + "/saved-\(getpid())-empty"
        try Files.makeDirectory(folder)
        defer {
            unlink(folder + "/key.arrow")
            try? Files.removeDirectory(folder)
        }
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        _ = try store.makeOutputSegment(bytes: 1, for: "w1")
        let table = try store.publish([], by: "w1")
        let work = try store.beginSave(table, in: Folder(folder), as: "key.arrow", key: "key")
        try work.write()
        store.finishSave(work)
        let again = try store.takeSaved(DescriptorBox(FileDescriptor.open(folder + "/key.arrow")))
        // All that its descriptor names is lent with it.
        let loan = store.view(of: again)
        let named = try Descriptor(reading: loan.descriptor).segments.map(\.id)
        #expect(named == loan.segments.map(\.id.rawValue))
        #expect(try store.stream(of: again) == store.stream(of: table))
    }

    @Test func aTableThatWouldBeMuchLargerOnADiskIsRefused() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        let output = try store.makeOutputSegment(bytes: 2 * huge, for: "w1")
        var random = RandomSource(seed: 4)
        try output.file.fill(0..<huge, &random)
        let batch = [ColumnPlace(segment: output.id, range: 0..<huge)]
        let table = try store.publish([batch, batch, batch, batch], by: "w1")
        let work = try store.beginSpill(table, to: diskFolder())
        let error = #expect(throws: StoreError.self) { try work.run() }
        #expect(error?.code == .unsuitable)
        guard case .failed = store.finish(work) else { return #expect(Bool(false), "it moved") }
        // Nothing pins it.
        try store.release(table)
        #expect(!store.contains(table))
    }
}
