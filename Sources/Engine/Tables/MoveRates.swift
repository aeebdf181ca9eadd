import Scheduler

extension ResourceManager.Rates {
    /// Takes in a measured rate; the last ones count most.
    mutating func note(spill bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &spillBytesPerSecond) }

    /// Takes in a measured rate; the last ones count most.
    mutating func note(restore bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &restoreBytesPerSecond) }

    /// Takes in a measured rate; the last ones count most.
    mutating func note(swapOut bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &swapOutBytesPerSecond) }

    /// Takes in a measured rate; the last ones count most.
    mutating func note(limit bytesPerSecond: Double) { Self.note(bytesPerSecond, in: &limitBytesPerSecond) }

    private static func note(_ rate: Double, in average: inout Double) {
        if rate > 0 { average = (average + rate) / 2 }
    }
}
