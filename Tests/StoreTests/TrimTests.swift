import SeededNumbers
import System
import Testing

@testable import Store

private let page = Machine.pageBytes
private let huge = Machine.hugePageBytes

@Suite struct TrimTests {
    private func plan(_ named: [Range<Int>], of bytes: Int) -> Trim {
        Trim(named: RangeSet(named), windows: RangeSet([0..<bytes]))
    }

    @Test func aFileThatIsNamedWholeIsLeftAlone() {
        let trim = plan([0..<4 * huge], of: 4 * huge)
        #expect(trim.punched.isEmpty && trim.zeroed.isEmpty)
    }

    @Test func nothingNamedIsOneHole() {
        let trim = plan([], of: 4 * huge)
        #expect(trim.punched.ranges == [0..<4 * huge] && trim.zeroed.isEmpty)
    }

    @Test func littleThatIsUnnamedInAHugePageIsZeroed() {
        let trim = plan([100..<huge - Trim.zeroedBytesMax + 4000], of: huge)
        #expect(trim.punched.isEmpty)
        #expect(trim.zeroed.ranges == [0..<100, huge - Trim.zeroedBytesMax + 4000..<huge])
    }

    @Test func muchThatIsUnnamedInAHugePageIsPunchedAndEdgesAreZeroed() {
        let trim = plan([100..<huge / 2 + 5], of: huge)
        #expect(trim.punched.ranges == [huge / 2 + page..<huge])
        #expect(trim.zeroed.ranges == [0..<100, huge / 2 + 5..<huge / 2 + page])
    }

    @Test func wholeHugePagesBetweenAreOneHole() {
        let trim = plan([0..<huge, 5 * huge..<6 * huge], of: 6 * huge)
        #expect(trim.punched.ranges == [huge..<5 * huge] && trim.zeroed.isEmpty)
    }

    @Test(arguments: 0..<300) func everyUnnamedByteIsPunchedOrZeroedAndNoNamedOneIs(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let bytes = 3 * huge
        let named = (0..<Int.random(in: 0...40, using: &random)).map { _ in
            let lower = Int.random(in: 0..<bytes, using: &random)
            let reach = [100, page, 40 * page, huge].randomElement(using: &random) ?? page
            return lower..<min(bytes, lower + Int.random(in: 1...reach, using: &random))
        }
        let (set, trim) = (RangeSet(named), plan(named, of: bytes))
        let whole = RangeSet([0..<bytes])
        #expect(trim.punched.union(trim.zeroed) == whole.subtracting(set), "seed \(seed)")
        #expect(trim.punched.subtracting(trim.zeroed) == trim.punched, "seed \(seed): punched and zeroed are apart")
        #expect(
            trim.punched.ranges.allSatisfy { $0.lowerBound % page == 0 && $0.upperBound % page == 0 }, "seed \(seed)")
        for block in stride(from: 0, to: bytes, by: huge) {
            let range = RangeSet([block..<block + huge])
            let kept = range.subtracting(whole.subtracting(trim.zeroed)).bytes
            let edges = 2 * named.count * page
            #expect(kept <= Trim.zeroedBytesMax + edges, "seed \(seed)")
        }
    }
}
