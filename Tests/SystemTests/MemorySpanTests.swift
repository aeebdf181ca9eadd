import Testing

@testable import System

/// Memory with bytes of others in it.
private final class Memory {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 4096)

    init() { bytes.initializeMemory(as: UInt8.self, repeating: 0) }

    deinit { bytes.deallocate() }

    func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
}

@Suite struct MemorySpanTests {
    private let memory = Memory()

    private func members(_ parts: [Range<Int>], bytesMax: UInt64 = .max) -> [Range<Int>] {
        MemorySpan.join(parts.map { memory.part($0) }, bytesMax: bytesMax).map(\.members)
    }

    @Test func rangesThatTouchAreOne() {
        #expect(members([]) == [])
        #expect(members([0..<10]) == [0..<1])
        #expect(members([0..<10, 10..<20, 20..<5000]) == [0..<3])
    }

    @Test func rangesWithPaddingBetweenThemAreOne() {
        #expect(members([0..<10, 64..<100, 163..<200]) == [0..<3])
        // Padding that goes over a page's end.
        #expect(members([0..<4090, 4100..<4200]) == [0..<2])
    }

    @Test func rangesWithMoreBetweenThemAreNot() {
        #expect(members([0..<10, 74..<100]) == [0..<1, 1..<2])
        #expect(members([0..<10, 70..<100, 164..<200]) == [0..<1 + 1, 2..<3])
    }

    @Test(arguments: [10, 40, 63])
    func aByteOfSomebodyElseKeepsRangesApart(place: Int) {
        memory.bytes[place] = 1
        #expect(members([0..<10, 64..<100]) == [0..<1, 1..<2])
        memory.bytes[place] = 0
        #expect(members([0..<10, 64..<100]) == [0..<2])
    }

    @Test func noSpanBecomesLongerThanAllowedByJoining() {
        #expect(members([0..<10, 10..<20, 20..<30, 30..<40], bytesMax: 20) == [0..<2, 2..<4])
        #expect(members([0..<30, 30..<40, 40..<50], bytesMax: 20) == [0..<1, 1..<3])
    }

    @Test func aSpanReachesFromItsFirstRangeToItsLast() {
        let spans = MemorySpan.join([memory.part(100..<200), memory.part(230..<300), memory.part(500..<600)])
        let start = UInt(bitPattern: memory.bytes.baseAddress)
        #expect(spans.map(\.bytes) == [start + 100..<start + 300, start + 500..<start + 600])
    }
}
