import CArrow
import Glibc
import Testing

@testable import SIPC
@testable import System

private let page = 4096

/// The output file of a worker, filled from its beginning by copies and at its end by what is moved.
private final class OutputFile {
    static let bytesMade = 4 << 20
    let file: FileDescriptor
    private let mapping: Mapping
    private var used = 0

    init() throws {
        file = try FileDescriptor.memory(named: "output", bytes: Self.bytesMade, sealable: true)
        mapping = try Mapping(file, count: Self.bytesMade, access: .readWrite)
    }

    func take(_ bytes: Int) throws(SIPCError) -> (UnsafeMutableRawPointer, offset: UInt64) {
        guard bytes <= Self.bytesMade - used else { throw SIPCError.outputFull(bytes, errno: ENOMEM) }
        defer { used = (used + bytes + 63) & ~63 }
        return (mapping.base + used, UInt64(used))
    }

    /// Leaves no room for copies.
    func fill() { used = Self.bytesMade }

    /// Appends as KernelZero does, each range at its place in a page.
    func append(_ memory: UnsafeRawBufferPointer) throws -> UInt64 {
        let end = try file.status().bytes
        let offset = end + Int(bitPattern: memory.baseAddress) % page
        try file.truncate(bytes: (offset + memory.count + page - 1) / page * page)
        try file.writeAll(memory, at: offset)
        return UInt64(offset)
    }
}

/// Memory for columns, with something else before, between and after them.
private final class Columns {
    static let bytes = 3 * 64 * 1024
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * Columns.bytes, alignment: page)

    init() {
        for index in memory.indices { memory[index] = UInt8(truncatingIfNeeded: index &* 31 &+ index >> 8) }
    }

    deinit { memory.deallocate() }

    func column(_ start: Int, _ count: Int = Columns.bytes) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[start..<start + count])
    }
}

@Suite struct MoveTests {
    private let output: OutputFile
    private let columns = Columns()

    init() throws { output = try OutputFile() }

    private func publish(
        _ table: LargeTable, mover: Publisher.Mover?
    ) throws -> (Descriptor, PublishCounts, Publisher.Kept) {
        var stream = table.stream()
        let publisher = Publisher(
            inputs: [], ways: [], mover: mover, output: SegmentEntry(id: 0, bytes: UInt64(OutputFile.bytesMade))
        ) { (bytes) throws(SIPCError) in try output.take(bytes) }
        let (bytes, counts, kept) = try publisher.publish(&stream)
        return (try Descriptor(bytes), counts, kept)
    }

    /// The bytes that a descriptor names, reference by reference.
    private func content(_ descriptor: Descriptor) throws -> [[UInt8]] {
        var found: [[UInt8]] = []
        for index in 0..<descriptor.referenceCount {
            let reference = descriptor.reference(index)
            if reference.length == 0 { continue }
            found.append(try output.file.bytes(Int(reference.offset)..<Int(reference.offset + reference.length)))
        }
        return found
    }

    @Test func movedAndCopiedBuffersAreInOneSegmentOfTheSizeItHasInTheEnd() throws {
        let list = [columns.column(64), columns.column(2 * Columns.bytes)]
        let (descriptor, counts, _) = try publish(LargeTable(list)) { memory in
            // The second is refused.
            let offset = try? output.append(memory[0])
            return Publisher.Moved(
                offsets: [offset, nil], movedBytes: UInt64(memory[0].count) - 100, copiedBytes: 100,
                segmentBytes: UInt64((try? output.file.status().bytes) ?? 0))
        }
        #expect(counts.deanonymizedBytes == UInt64(Columns.bytes) - 100)
        #expect(counts.copiedBytes == UInt64(Columns.bytes) + 100)
        #expect(counts.bytes == counts.deanonymizedBytes + counts.copiedBytes)
        #expect(descriptor.segments == [SegmentEntry(id: 0, bytes: UInt64(try output.file.status().bytes))])
        #expect(try content(descriptor) == list.map { Array($0) })
    }

    @Test func theMoverIsAskedOnceAboutMemoryThatDoesNotOverlap() throws {
        // The same column twice, slices of it, one that begins where it ends, and one elsewhere.
        let count = Columns.bytes - 3000
        let list = [
            columns.column(0, count), columns.column(0, count), columns.column(1000, count),
            columns.column(1000 + count, count), columns.column(3 * Columns.bytes, count),
        ]
        var asked: [[UnsafeRawBufferPointer]] = []
        let (descriptor, counts, _) = try publish(LargeTable(list)) { memory in
            asked.append(memory)
            let offsets = memory.map { try? output.append($0) }
            return Publisher.Moved(
                offsets: offsets, movedBytes: UInt64(memory.reduce(0) { $0 + $1.count }), copiedBytes: 0,
                segmentBytes: UInt64((try? output.file.status().bytes) ?? 0))
        }
        #expect(asked.map { $0.map(\.count) } == [[count + 1000, count, count]])
        #expect(counts.bytes == UInt64(3 * count + 1000) && counts.bytes == counts.deanonymizedBytes)
        #expect(try content(descriptor) == list.map { Array($0) })
    }

    @Test func smallBuffersMoveTogetherWithTheirNeighbours() throws {
        // Four that touch and one with padding before it are together large enough; two apart are not.
        let count = 16 * 1024
        let memory = columns.memory
        for index in 4 * count..<4 * count + 40 { memory[index] = 0 }
        let list =
            (0..<4).map { columns.column($0 * count, count) } + [columns.column(4 * count + 40, count)]
            + [columns.column(Columns.bytes * 2, count), columns.column(Columns.bytes * 3, count)]
        var asked: [[Int]] = []
        let (descriptor, counts, _) = try publish(LargeTable(list)) { memory in
            asked.append(memory.map(\.count))
            let offsets = memory.map { try? output.append($0) }
            return Publisher.Moved(
                offsets: offsets, movedBytes: UInt64(memory.reduce(0) { $0 + $1.count }), copiedBytes: 0,
                segmentBytes: UInt64((try? output.file.status().bytes) ?? 0))
        }
        #expect(asked == [[Int](repeating: count, count: 5)])
        #expect(counts.deanonymizedBytes == UInt64(5 * count) && counts.packedBytes == UInt64(2 * count))
        #expect(counts.bytes == counts.deanonymizedBytes + counts.packedBytes)
        #expect(try content(descriptor) == list.map { Array($0) })
    }

    @Test(arguments: [ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, EFBIG, EFAULT, EINVAL, EACCES, E2BIG, EBADF])
    func aCallThatFailsIsFollowedByACopy(errno: Int32) throws {
        let info = KernelZero.Info(abi: 1, features: 1, rangesMax: 100, bytesMax: 1 << 40, version: "none")
        let module = KernelZero(DescriptorBox(try FileDescriptor.open("/dev/null")), info)
        let list = [columns.column(8), columns.column(2 * Columns.bytes)]
        // EOPNOTSUPP is answered by asking about each alone.
        let plan = FaultPlan((1...3).map { Fault(.deanonymize, occurrence: $0, errno: errno) })
        let table = LargeTable(list)
        var pages = PageCounts()
        var published: (descriptor: Descriptor, counts: PublishCounts, kept: Publisher.Kept)?
        try plan.apply {
            published = try publish(table) { memory in
                let done = Deanonymization(memory, into: output.file, by: module)
                pages = done.pages
                return Publisher.Moved(
                    offsets: done.offsets, movedBytes: done.movedBytes, copiedBytes: done.copiedBytes,
                    segmentBytes: UInt64(OutputFile.bytesMade))
            }
        }
        let (descriptor, counts) = (try #require(published).descriptor, try #require(published).counts)
        #expect(plan.fired.count == (errno == EOPNOTSUPP ? 3 : 1))
        #expect(pages.refusal == errno && pages.refusedRanges == 2 && pages.ranges == 0)
        #expect(counts.copiedBytes == UInt64(2 * Columns.bytes) && counts.copiedBytes == counts.bytes)
        #expect(descriptor.segments.map(\.bytes) == [UInt64(OutputFile.bytesMade)])
        #expect(try content(descriptor) == list.map { Array($0) })
        // Nothing was moved, so the memory goes back to its allocator when the table does.
        #expect(table.releasedCount == 0)
        published = nil
        #expect(table.releasedCount == 3)
    }

    @Test func memoryThatWasMovedIsNeverGivenBack() throws {
        for failsLater in [false, true] {
            let table = LargeTable([columns.column(0), columns.column(2 * Columns.bytes)])
            let mover: Publisher.Mover = { memory in
                // The other one has to be copied, for which there may be no room.
                if failsLater { output.fill() }
                return Publisher.Moved(
                    offsets: [try? output.append(memory[0]), nil], movedBytes: UInt64(memory[0].count), copiedBytes: 0,
                    segmentBytes: UInt64((try? output.file.status().bytes) ?? 0))
            }
            if failsLater {
                #expect(throws: SIPCError.self) { _ = try publish(table, mover: mover) }
            } else {
                _ = try publish(table, mover: mover)
            }
            #expect(table.releasedCount == 0)
        }
    }
}
