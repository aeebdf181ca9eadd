import Testing

@testable import Engine

@Suite struct MemoryForecastTests {
    private let forecast = MemoryForecast(nil)

    private func bytes(_ input: UInt64, decoded: UInt64? = nil) -> Int {
        forecast.expectedBytes(of: .init(code: "a", inputBytes: input, decodedBytes: decoded))
    }

    @Test func aModelThatNeverRanIsExpectedToMakeAsMuchAsItReads() {
        #expect(bytes(1 << 30) == 1 << 30 + MemoryForecast.workerBytes)
    }

    @Test func aScanIsExpectedToTakeAQuarterMoreThanItsColumns() {
        #expect(bytes(0, decoded: 1 << 30) == (1 << 30) / 4 * 5 + MemoryForecast.workerBytes)
    }

    @Test(arguments: [1 << 62, 1 << 63, UInt64.max, UInt64(Int64.max), UInt64(Int64.max) + 1])
    func figuresThatNoMachineHasAreCutOffBeforeTheyOverflow(figure: UInt64) {
        for bytes in [bytes(figure), bytes(figure, decoded: figure), bytes(1, decoded: figure)] {
            #expect(bytes > 1 << 50 && bytes <= MemoryForecast.bytesMax)
            // The resource manager adds up what all models of a run want.
            #expect(!bytes.multipliedReportingOverflow(by: 100).overflow)
        }
        let subject = MemoryForecast.Subject(code: "a", inputBytes: figure, decodedBytes: figure)
        forecast.note(subject, memoryBytes: figure, outputBytes: figure, wasKilled: true, seconds: 1)
    }

    @Test func theSizeOfAnOutputIsRememberedByName() {
        forecast.noteOutput(of: "project\0model", bytes: 5)
        forecast.noteOutput(of: "project\0huge", bytes: .max)
        forecast.noteOutput(of: "project\0empty", bytes: 0)
        #expect(forecast.outputBytes(of: "project\0model") == 5)
        #expect(forecast.outputBytes(of: "project\0huge") == Int.max)
        // Nothing is also something that is known.
        #expect(forecast.outputBytes(of: "project\0empty") == 1)
        #expect(forecast.outputBytes(of: "project\0other") == 0)
    }
}
