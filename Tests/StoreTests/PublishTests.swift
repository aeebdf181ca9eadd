import Glibc
import Store
import System
import Testing

private let huge = Machine.hugePageBytes

@Suite struct PublishTests {
    @Test(arguments: everyLock) func aReaderSeesThePublishedBytesAndNothingElse(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 4 * huge)
        let named = [100..<9000, huge + 5..<2 * huge - 70_000, 3 * huge + 4096..<3 * huge + 8192]
        // A secret fills everything around the buffers.
        try producer.write(0..<4 * huge, 0x55)
        for range in named { try producer.write(range, 0xaa) }
        let table = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(named))
        let loan = store.lend(table, to: "w2")
        #expect(loan.segments.map(\.id) == [producer.output.id])
        let seen = try visible(loan.segments[0].file, bytes: 4 * huge)
        let isAsPublished = same(seen, masked(producer.content, named))
        #expect(isAsPublished)
        #expect(try store.usage().namedBytes == named.reduce(0) { $0 + $1.count })
        // Three pages and one 2 MiB page that was not worth splitting, at most.
        #expect(try store.usage().residentBytes <= huge + 8 * Machine.pageBytes)
    }

    @Test(arguments: everyLock) func holesStayHoles(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 8 * huge)
        try producer.write(10..<20, 1)
        // The table names a hole too, and its block has little that is unnamed.
        let named = [10..<20, huge..<2 * huge - 8192]
        _ = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(named))
        #expect(try store.usage().residentBytes == Machine.pageBytes)
    }

    @Test(arguments: everyLock) func aHugePageOfWhichLittleIsUnnamedIsNotSplit(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 2 * huge)
        try producer.write(0..<2 * huge, 7)
        try producer.collapse(0..<2 * huge)
        let named = [64..<2 * huge - 100_000]
        let table = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(named))
        #expect(try store.usage().residentBytes == 2 * huge)
        let loan = store.lend(table, to: "w2")
        let seen = try visible(loan.segments[0].file, bytes: 2 * huge)
        let isAsPublished = same(seen, masked(producer.content, named))
        #expect(isAsPublished)
    }

    @Test(arguments: everyLock) func overlappingRepeatedAndEmptyReferencesAreFine(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1")
        try producer.write(0..<50_000, 3)
        let named = [500..<20_000, 500..<20_000, 0..<600, 19_000..<30_000, 40_000..<40_000]
        let table = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(named))
        #expect(store.namedBytes(of: table) == 30_000)
        let seen = try visible(store.lend(table, to: "r").segments[0].file, bytes: producer.content.count)
        let isAsPublished = same(seen, masked(producer.content, named))
        #expect(isAsPublished)
    }

    @Test(arguments: everyLock) func aReferenceBeyondTheOutputIsRefused(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let producer = try Producer(store, "w1", bytes: huge)
        let references = try producer.references([huge - 1..<huge + 1])
        let error = #expect(throws: StoreError.self) {
            try store.publish(by: "w1", descriptor: anyDescriptor(), references: references)
        }
        #expect(error?.code == .badReference && error?.segment == producer.output.id)
        #expect(error?.description == "segment 1: a reference ends at byte 2097153 of the output, which has 2097152")
        #expect(try store.usage().tables == 0)
    }

    @Test(arguments: everyLock) func aWorkerCannotNameWhatItWasNotLent(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var first = try Producer(store, "w1")
        try first.write(0..<100_000, 1)
        let table = try store.publish(
            by: "w1", descriptor: anyDescriptor(), references: first.references([0..<1000, 5000..<6000]))
        try store.end("w1")
        let second = try Producer(store, "w2")
        func publish(_ range: Range<Int>, _ segment: SegmentID) throws {
            var references = try second.references([0..<10])
            try references.add(segment, [range])
            _ = try store.publish(by: "w2", descriptor: anyDescriptor(), references: references)
        }
        let notLent = #expect(throws: StoreError.self) { try publish(0..<1000, first.output.id) }
        #expect(notLent?.code == .badReference && notLent?.segment == first.output.id)
        _ = store.lend(table, to: "w2")
        #expect(throws: StoreError.self) { try publish(0..<1001, first.output.id) }
        #expect(throws: StoreError.self) { try publish(0..<10, SegmentID(rawValue: 99)) }
        #expect(throws: StoreError.self) { try publish(0..<10, SegmentID(rawValue: 0)) }
        try publish(5100..<6000, first.output.id)
        #expect(try store.usage().tables == 2)
    }

    @Test(arguments: everyLock) func aTamperedOutputIsRefused(lock: Lock) throws {
        let tamper: [(String, (DescriptorBox) throws -> Void)] = [
            ("longer", { try $0.descriptor.truncate(bytes: 8 << 20) }),
            ("shorter", { try $0.descriptor.truncate(bytes: 100) }),
            ("opened up", { try $0.descriptor.changeMode(0o666) }),
        ]
        for (what, change) in tamper {
            let store = SegmentStore(lock: lock, poolBytesMax: 1 << 30)
            var producer = try Producer(store, "w1")
            try producer.write(0..<4 << 20, 1)
            try change(producer.output.file)
            let error = #expect(throws: StoreError.self, "\(what)") {
                try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references([0..<10]))
            }
            #expect(error?.code == .tampered, "\(what)")
            try store.end("w1")
            // It is not used again either.
            #expect(try store.usage().pooledBytes == 0 && store.usage().segments == 0, "\(what)")
        }
    }

    @Test(arguments: everyLock) func whatAWorkerMovedToTheEndIsPublishedAndFreedLikeTheRest(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 1 << 30)
        let output = try store.makeOutputSegment(bytes: 2 * huge, for: "w1", growthBytesMax: 2 * huge)
        let end = 2 * huge + 6 * Machine.pageBytes
        var content = [UInt8](repeating: 0x55, count: end)
        let named = [10..<5000, 2 * huge + 100..<end - 100]
        for range in named {
            for place in range { content[place] = 0xAA }
        }
        // A worker that writes beside what it moved publishes none of that.
        try content.withUnsafeBytes { bytes in try output.file.descriptor.writeAll(bytes, at: 0) }
        try store.measureOutput(of: "w1")
        #expect(store.beginPublish(by: "w1").fileBytes(of: output.id) == end)
        var references = References()
        try references.add(output.id, named)
        let table = try store.publish(by: "w1", descriptor: anyDescriptor(), references: references)
        try store.end("w1")
        let seen = try visible(store.lend(table, to: "w2").segments[0].file, bytes: end)
        let isAsPublished = same(seen, masked(content, named))
        #expect(isAsPublished)
        #expect(try store.usage().residentBytes <= 2 * Machine.pageBytes + 6 * Machine.pageBytes + huge)
        try store.release(table)
        try store.end("w2")
        #expect(try store.usage().segments == 0)
        // A recycled file is as long as it was made, and clean.
        let next = try store.makeOutputSegment(bytes: 2 * huge, for: "w3", growthBytesMax: 2 * huge)
        let isClean = isZero(try next.file.descriptor.bytes(0..<2 * huge), 0..<2 * huge)
        #expect(isClean)
        #expect(try next.file.descriptor.status().bytes == 2 * huge)
    }

    @Test(arguments: everyLock) func anOutputMayNotGrowBeyondWhatMovingNeeds(lock: Lock) throws {
        let sizes = [huge - Machine.pageBytes, huge + 1, 2 * huge + Machine.pageBytes, 1 << 50]
        for size in sizes {
            let store = SegmentStore(lock: lock, poolBytesMax: 1 << 30)
            let output = try store.makeOutputSegment(bytes: huge, for: "w1", growthBytesMax: huge)
            try output.file.descriptor.truncate(bytes: size)
            let error = #expect(throws: StoreError.self, "\(size)") { try store.measureOutput(of: "w1") }
            #expect(error?.code == .tampered, "\(size)")
            try store.end("w1")
            #expect(try store.usage().pooledBytes == 0)
        }
    }

    @Test func whatAFailedWorkerMovedIsFreedAndItsFileUsedAgain() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 1 << 30)
        let output = try store.makeOutputSegment(bytes: 4 * huge, for: "w1", growthBytesMax: huge)
        let content = [UInt8](repeating: 1, count: 4 * huge + Machine.pageBytes)
        try content.withUnsafeBytes { bytes in try output.file.descriptor.writeAll(bytes, at: 0) }
        try store.end("w1")
        #expect(try store.usage().pooledBytes == 4 * huge)
    }

    private func publication(_ producer: Producer, _ ranges: [Range<Int>]) throws -> SegmentStore.Publication {
        SegmentStore.Publication(descriptor: try anyDescriptor(), references: try producer.references(ranges))
    }

    @Test(arguments: everyLock) func severalTablesOfOneOutputShareItAndGoOneByOne(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 8 * huge)
        try producer.write(0..<8 * huge, 0x55)
        // The result is made of parts of the pieces.
        let result = [100..<5000, 4 * huge + 8..<5 * huge]
        let pieces = [[0..<2 * huge], [4 * huge..<6 * huge]]
        let tables = try store.publish(
            by: "w1", tables: [publication(producer, result)] + pieces.map { try publication(producer, $0) })
        try store.end("w1")
        #expect(tables.count == 3 && tables == tables.sorted())
        #expect(try store.usage().tables == 3 && store.usage().segments == 1)
        #expect(try store.usage().namedBytes == 4 * huge)
        let seen = try visible(store.lend(tables[0], to: "w2").segments[0].file, bytes: 8 * huge)
        let isAsPublished = same(seen, masked(producer.content, pieces.joined() + []))
        #expect(isAsPublished)
        try store.end("w2")
        try store.release(tables[1])
        #expect(store.exclusiveBytes(of: tables[0]) == 2 * Machine.pageBytes && store.contains(tables[2]))
        try store.release(tables[0])
        #expect(try store.usage().namedBytes == 2 * huge)
        if lock == .readOnlyDescriptor { #expect(try store.usage().residentBytes == 2 * huge) }
        try store.release(tables[2])
        #expect(try store.usage().segments == 0)
    }

    @Test(arguments: everyLock) func oneBadTableRejectsAllOfAnOutput(lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 2 * huge)
        try producer.write(0..<2 * huge, 1)
        let good = try publication(producer, [0..<huge])
        let bad = try publication(producer, [huge..<2 * huge + 1])
        var stray = References()
        try stray.add(SegmentID(rawValue: 77), [0..<1])
        let foreign = SegmentStore.Publication(descriptor: try anyDescriptor(), references: stray)
        for tables in [[good, bad], [bad, good], [good, foreign]] {
            let error = #expect(throws: StoreError.self) { try store.publish(by: "w1", tables: tables) }
            #expect(error?.code == .badReference)
            #expect(try store.usage().tables == 0)
        }
        #expect(try store.publish(by: "w1", tables: [good, good]).count == 2)
    }

    @Test func aSealThatAWorkerAddedIsNoticed() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let producer = try Producer(store, "w1")
        try producer.output.file.descriptor.addSeals(.grow)
        let error = #expect(throws: StoreError.self) {
            try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references([0..<10]))
        }
        #expect(error?.code == .tampered)
    }

    @Test func aProducerThatStillMapsTheSealedOutputIsNoticed() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let producer = try Producer(store, "w1")
        let mapping = try Mapping(producer.output.file.descriptor, count: 4096, access: .readWrite)
        let error = #expect(throws: StoreError.self) {
            try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references([0..<10]))
        }
        #expect(error?.code == .stillMapped)
        withExtendedLifetime(mapping) {}
    }
}
