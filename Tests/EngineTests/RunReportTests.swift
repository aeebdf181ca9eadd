import Testing

@testable import Engine

@Suite struct RunReportTests {
    @Test func aReportHasMovedPagesOnlyWhereKernelZeroIsUsed() {
        var counts = ByteCounts()
        counts.deanonymizedBytes = 4096
        var report = RunReport(run: "r", failures: [])
        func json(_ moves: KernelZeroReport?) -> String {
            let output = RunReport.Output(rows: 1, counts: counts, moves: moves)
            report.models = [
                RunReport.Model(
                    name: "m", status: "success", startMilliseconds: 0, wallMilliseconds: 1, memoryBytesMax: 1,
                    executions: 1,
                    timing: [:], output: output)
            ]
            return report.json
        }
        #expect(json(nil).contains(#""deanonymized_bytes":4096"#) && !json(nil).contains("kernelzero"))
        let moves = KernelZeroReport(
            ranges: 1, refusedRanges: 0, refusal: nil, movedPages: 1, movedHugePages: 0, movedSwapPages: 0,
            holePages: 0,
            copiedEdgePages: 0, copiedSharedPages: 0, copiedPinnedPages: 0, copiedOtherPages: 0)
        #expect(json(moves).contains(#""moved_pages":1"#) && json(moves).contains(#""refusal":null"#))
    }

    @Test func figuresOfAWorkerAddUpToNoMoreThanThereCanBe() {
        var counts = ByteCounts()
        counts.resharedBytes = UInt64(Int64.max)
        counts.copiedBytes = UInt64(Int64.max)
        counts.packedBytes = UInt64(Int64.max)
        #expect(counts.total == .max)
    }
}
