import CArrow
import Glibc
import System
import Testing

@testable import SIPC

/// Room for packed and copied buffers in ordinary memory.
private final class Room {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    private(set) var used = 0

    init() { memory.initializeMemory(as: UInt8.self, repeating: 0) }
    deinit { memory.deallocate() }

    func take(_ bytes: Int) -> (UnsafeMutableRawPointer, offset: UInt64) {
        defer { used += bytes }
        return (memory.baseAddress! + used, UInt64(used))
    }

    /// A segment with the content.
    func segment(_ id: UInt64) throws -> MappedSegment {
        let file = try FileDescriptor.sealedMemory(named: "room", UnsafeRawBufferPointer(memory))
        return try MappedSegment(id: id, file)
    }
}

@Suite struct PublisherTests {
    private let golden: MappedSegment
    private let descriptor: Descriptor

    init() throws {
        golden = try Golden.segment("v1-slices.segment")
        descriptor = try Descriptor(try Golden.bytes("v1-slices.sipc"))
    }

    private func publish(
        _ inputs: [MappedSegment], _ room: Room, ways: [Publisher.Way] = [], mover: Publisher.Mover? = nil
    ) throws -> (Descriptor, PublishCounts) {
        var stream = ArrowArrayStream()
        try descriptor.open([golden], to: &stream)
        let output = SegmentEntry(id: 0, bytes: UInt64(room.memory.count))
        let publisher = Publisher(inputs: inputs, ways: ways, mover: mover, output: output) { room.take($0) }
        let (bytes, counts, _) = try publisher.publish(&stream)
        #expect(stream.release == nil)
        return (try Descriptor(bytes), counts)
    }

    /// The standard stream of a table, for comparing what tables hold.
    private func stream(_ descriptor: Descriptor, _ segment: MappedSegment) throws -> [UInt8] {
        let file = try FileDescriptor.memory(named: "stream", bytes: 0, sealable: false)
        try descriptor.writeStream([segment], to: file)
        return try file.bytes(0..<(try file.status().bytes))
    }

    @Test func aTablePassedThroughIsReshared() throws {
        let room = Room()
        let (copy, counts) = try publish([golden], room)
        #expect(counts.bytes > 0 && counts.bytes == counts.resharedBytes)
        #expect(room.used == 0)
        #expect(copy.segments.map(\.id) == [7])
        #expect(try stream(copy, golden) == stream(descriptor, golden))
    }

    @Test func whatLiesNowhereIsPacked() throws {
        let room = Room()
        let (copy, counts) = try publish([], room)
        #expect(counts.bytes > 0 && counts.bytes == counts.packedBytes)
        #expect(try stream(copy, room.segment(0)) == stream(descriptor, golden))
    }

    @Test func waysAreAskedInTheirOrderAndTheMoverOnlyAboutLargeBuffers() throws {
        let room = Room()
        let base = UInt(bitPattern: golden.content.baseAddress)
        let born = Publisher.Way(counter: \.bornSharedBytes) { (bytes) throws(SIPCError) in
            (SegmentEntry(id: 7, bytes: UInt64(golden.bytes)), UInt64(UInt(bitPattern: bytes.baseAddress) - base))
        }
        let never: Publisher.Mover = { memory in
            Issue.record("asked about small buffers")
            return Publisher.Moved(
                offsets: memory.map { _ in nil }, movedBytes: 0, copiedBytes: 0, segmentBytes: 1 << 20)
        }
        let (copy, counts) = try publish([], room, ways: [born], mover: never)
        #expect(counts.bytes == counts.bornSharedBytes)
        #expect(try stream(copy, golden) == stream(descriptor, golden))
        _ = try publish([], room, mover: never)
    }

    @Test func arraysKeepTheirSegmentMappedUntilTheLastIsReleased() throws {
        weak var watched: MappedSegment?
        var array = ArrowArray()
        var column = ArrowArray()
        do {
            let segment = try Golden.segment("v1-slices.segment")
            watched = segment
            var stream = ArrowArrayStream()
            try descriptor.open([segment], to: &stream)
            #expect(stream.get_next(&stream, &array) == 0)
            stream.release(&stream)
        }
        // The C interface lets a receiver move a child out of its parent.
        column = array.children[0]!.pointee
        array.children[0]!.pointee.release = nil
        array.release(&array)
        #expect(watched != nil)
        #expect(column.buffers[1]!.load(as: Int64.self) >= 0)
        column.release(&column)
        #expect(watched == nil)
    }

    @Test func offsetsThatLeaveTheDataAreAnErrorOfTheStream() throws {
        var bytes = try Golden.bytes("v1-slices.segment")
        for index in stride(from: 0, to: bytes.count - 3, by: 4) where bytes.loadLittle(index, as: Int32.self) > 0 {
            bytes.storeLittle(Int32.max - 3, at: index)
        }
        let segment = try MappedSegment(id: 7, try FileDescriptor.sealedMemory(named: "bad", bytes))
        var stream = ArrowArrayStream()
        try descriptor.open([segment], to: &stream)
        var array = ArrowArray()
        #expect(stream.get_next(&stream, &array) == EINVAL)
        #expect(array.release == nil)
        #expect(String(cString: try #require(stream.get_last_error(&stream))).contains("offsets"))
        stream.release(&stream)
    }

    @Test func aSegmentThatIsMissingOrTooShortIsAnError() throws {
        var stream = ArrowArrayStream()
        #expect(throws: SIPCError.self) { try descriptor.open([], to: &stream) }
        let short = try MappedSegment(id: 7, try FileDescriptor.sealedMemory(named: "short", [1, 2, 3]))
        #expect(throws: SIPCError.self) { try descriptor.open([short], to: &stream) }
        #expect(stream.release == nil)
    }
}
