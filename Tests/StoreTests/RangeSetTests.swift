import SeededNumbers
import Testing

@testable import Store

@Suite struct RangeSetTests {
    @Test func overlappingAndTouchingRangesMerge() {
        let set = RangeSet([30..<40, 0..<10, 5..<12, 12..<20, 31..<32, 7..<7])
        #expect(set.ranges == [0..<20, 30..<40])
        #expect(set.bytes == 30)
        #expect(set.bounds == 0..<40)
        #expect(RangeSet([3..<3]).isEmpty)
    }

    @Test func aRangeIsFoundOnlyWhereItIsHeldWhole() {
        let set = RangeSet([0..<10, 20..<30])
        #expect(set.index(holding: 0..<10) == 0)
        #expect(set.index(holding: 22..<30) == 1)
        #expect(set.index(holding: 9..<11) == nil)
        #expect(set.index(holding: 5..<25) == nil)
        #expect(set.index(holding: 30..<31) == nil)
    }

    @Test(arguments: 0..<200) func itAgreesWithASetOfIntegers(seed: UInt64) {
        var random = RandomSource(seed: seed)
        func make() -> [Range<Int>] {
            (0..<Int.random(in: 0...12, using: &random)).map { _ in
                let lower = Int.random(in: 0..<100, using: &random)
                return lower..<lower + Int.random(in: 0...20, using: &random)
            }
        }
        let (left, right) = (make(), make())
        let (a, b) = (RangeSet(left), RangeSet(right))
        let (x, y) = (Set(left.joined()), Set(right.joined()))
        for (set, model) in [(a, x), (a.union(b), x.union(y)), (a.subtracting(b), x.subtracting(y))] {
            #expect(Array(set.ranges.joined()) == model.sorted(), "seed \(seed)")
            #expect(
                zip(set.ranges, set.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }, "seed \(seed)")
        }
    }

    @Test func aReferenceThatIsNoRangeIsRefused() throws {
        var references = References()
        let segment = SegmentID(rawValue: 3)
        for (offset, length) in [
            (UInt64.max, UInt64(1)), (1, .max), (.max, .max), (1 << 63, 1), (Int64.max.magnitude, 1),
        ] {
            let error = #expect(throws: StoreError.self) {
                try references.add(segment, offset: offset, length: length)
            }
            #expect(error?.code == .badReference && error?.segment == segment)
        }
        try references.add(segment, offset: .max, length: 0)
        #expect(references.lists.isEmpty)
    }
}
