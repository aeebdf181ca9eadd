import Terminal
import Testing

@Suite struct QuantityTests {
    @Test(
        arguments: [
            (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (65536, "64.0 KiB"),
            (10_234, "9.99 KiB"), (10_235, "10.0 KiB"), (102_348, "99.9 KiB"), (102_349, "100 KiB"),
            ((1 << 20) - 513, "1023 KiB"), ((1 << 20) - 512, "1.00 MiB"), (1 << 30, "1.00 GiB"),
            (UInt64.max, "16.0 EiB"),
        ] as [(UInt64, String)])
    func bytesHaveThreeDigits(bytes: UInt64, text: String) {
        #expect(Quantity.bytes(bytes) == text)
    }

    @Test(
        arguments: [
            (0, "0"), (999, "999"), (1000, "1,000"), (6_001_215, "6,001,215"), (-1234, "-1,234"),
            (Int64.max, "9,223,372,036,854,775,807"), (Int64.min, "-9,223,372,036,854,775,808"),
        ] as [(Int64, String)])
    func countsHaveAllDigits(count: Int64, text: String) {
        #expect(Quantity.count(count) == text)
    }

    @Test(
        arguments: [
            (-5, "0ms"), (0, "0ms"), (999, "999ms"), (1000, "1.00s"), (9994, "9.99s"), (9995, "10.0s"),
            (59_949, "59.9s"), (59_950, "1m00s"), (125_000, "2m05s"), (3_599_499, "59m59s"), (3_599_500, "1h00m"),
            (3_720_000, "1h02m"), (360_000_000, "100h00m"),
        ] as [(Int64, String)])
    func timesGrowInUnits(milliseconds: Int64, text: String) {
        #expect(Quantity.time(.milliseconds(milliseconds)) == text)
    }

    @Test(
        arguments: [
            (0, 0, "0%"), (0, 5, "0%"), (5, 5, "100%"), (1, 1000, "<1%"), (999, 1000, ">99%"), (71, 100, "71%"),
            (UInt64.max, UInt64.max, "100%"),
        ] as [(UInt64, UInt64, String)])
    func theEndsOfAShareAreExact(part: UInt64, whole: UInt64, text: String) {
        #expect(Quantity.share(part, of: whole) == text)
    }
}
