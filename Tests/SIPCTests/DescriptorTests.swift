import Testing

@testable import SIPC

@Suite struct DescriptorTests {
    @Test(arguments: ["v1-types", "v1-slices"])
    func goldenDescriptorsDecode(_ name: String) throws {
        let descriptor = try Descriptor(try Golden.bytes(name + ".sipc"))
        let isTypes = name == "v1-types"
        #expect(descriptor.rows == (isTypes ? 13 : 18))
        #expect(descriptor.batches == (isTypes ? 1 : 2))
        #expect(descriptor.columns.count == (isTypes ? 79 : 8))
        #expect(descriptor.columns.first { $0.name == "string_view" }?.type == "string_view")
        #expect(descriptor.segments.map(\.id) == [7])
        var bytes: UInt64 = 0
        descriptor.forEachReference { bytes += $0.length }
        #expect(bytes > 0)
    }

    @Test func segmentsGetOtherIDsAndNothingElseChanges() throws {
        let descriptor = try Descriptor(try Golden.bytes("v1-slices.sipc"))
        let renumbered = try Descriptor(descriptor.renumbered([99]))
        #expect(renumbered.segments == [SegmentEntry(id: 99, bytes: descriptor.segments[0].bytes)])
        #expect((0..<descriptor.referenceCount).allSatisfy { renumbered.reference($0) == descriptor.reference($0) })
    }

    /// Uses all that a decoded descriptor offers without its segments.
    private func exercise(_ bytes: [UInt8]) {
        guard let descriptor = try? Descriptor(bytes) else { return }
        let segments = descriptor.segments
        descriptor.forEachReference { reference in
            #expect(reference.offset + reference.length <= segments[Int(reference.segment)].bytes)
        }
        #expect(descriptor.columns.count == descriptor.schema.fields.count)
    }

    @Test func everyTruncationIsAnError() throws {
        let bytes = try Golden.bytes("v1-slices.sipc")
        for count in 0..<bytes.count {
            #expect(throws: SIPCError.self) { try Descriptor(Array(bytes[..<count])) }
        }
    }

    @Test func everyFlippedBitIsAnErrorOrAValidDescriptor() throws {
        var bytes = try Golden.bytes("v1-slices.sipc")
        for index in bytes.indices {
            for bit in 0..<8 {
                bytes[index] ^= 1 << UInt8(bit)
                exercise(bytes)
                bytes[index] ^= 1 << UInt8(bit)
            }
        }
    }

    /// Every aligned 64-bit word replaced by values at the edges of what numbers can be.
    @Test func extremeNumbersAnywhereAreErrorsOrValid() throws {
        let golden = try Golden.bytes("v1-slices.sipc")
        for index in stride(from: 0, to: golden.count - 7, by: 8) {
            for value: UInt64 in [0, 1, .max, 1 << 63, 1 << 62, (1 << 61) + 1, 1 << 32, .max >> 1] {
                var bytes = golden
                bytes.storeLittle(value, at: index)
                exercise(bytes)
            }
        }
    }

    @Test func referencesOutsideTheirSegmentAreErrors() throws {
        var bytes = try Golden.bytes("v1-slices.sipc")
        let size = bytes.loadLittle(Container.headerBytes + 8, as: UInt64.self)
        bytes.storeLittle(UInt64(64), at: Container.headerBytes + 8)
        #expect(size > 64)
        let error = #expect(throws: SIPCError.self) { try Descriptor(bytes) }
        #expect(error?.message.contains("leaves its segment of 64 bytes") == true)
    }

    @Test func anotherVersionIsAnErrorThatSaysSo() throws {
        var bytes = try Golden.bytes("v1-slices.sipc")
        bytes.storeLittle(UInt32(2), at: 8)
        let error = #expect(throws: SIPCError.self) { try Descriptor(bytes) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains("version 2") == true)
    }
}
