/// Numbers as people read them, in at most eight columns or so.
public enum Quantity {
    /// `0 B`, `512 B`, `64.0 KiB`, `1.50 GiB`: three digits and a binary unit.
    public static func bytes(_ bytes: UInt64) -> String {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        guard bytes >= 1024 else {
            return "\(bytes) B"
        }
        var unit = 1
        // 1023.5 and more of a unit would be shown as 1024.
        while unit + 1 < units.count, bytes >= (1 << (10 * (unit + 1))) - (1 << (10 * unit - 1)) {
            unit += 1
        }
        return threeDigits(Double(bytes) / Double(UInt64(1) << UInt64(10 * unit))) + " " + units[unit]
    }

    /// `6,001,215`: all digits, as counts of rows are compared.
    public static func count(_ count: Int64) -> String {
        var digits = String(count.magnitude)
        var groups: [Substring] = []
        while digits.count > 3 {
            groups.insert(digits.suffix(3), at: 0)
            digits.removeLast(3)
        }
        return (count < 0 ? "-" : "") + ([digits[...]] + groups).joined(separator: ",")
    }

    /// `3ms`, `840ms`, `1.24s`, `12.4s`, `2m05s`, `1h02m`.
    public static func time(_ time: Duration) -> String {
        let milliseconds = max(0, time.milliseconds)
        if milliseconds < 1000 {
            return "\(milliseconds)ms"
        }
        if milliseconds < 59_950 {
            let seconds = Double(milliseconds) / 1000
            return seconds < 9.995 ? "\(fixed(seconds, 2))s" : "\(fixed(seconds, 1))s"
        }
        let seconds = (milliseconds + 500) / 1000
        if seconds < 3600 {
            return "\(seconds / 60)m\(twoDigits(seconds % 60))s"
        }
        return "\(seconds / 3600)h\(twoDigits(seconds / 60 % 60))m"
    }

    /// A part of a whole: `0%`, `<1%`, `71%`, `>99%`, `100%`; the ends are exact.
    public static func share(_ part: UInt64, of whole: UInt64) -> String {
        if part == 0 || whole == 0 {
            return "0%"
        }
        if part >= whole {
            return "100%"
        }
        let percent = Double(part) / Double(whole) * 100
        return percent < 1 ? "<1%" : percent > 99 ? ">99%" : "\(Int(percent.rounded()))%"
    }

    /// `1 model`, `3 models`.
    public static func models(_ count: Int) -> String {
        count == 1 ? "1 model" : "\(Self.count(Int64(count))) models"
    }

    private static func threeDigits(_ value: Double) -> String {
        fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
    }

    private static func twoDigits(_ value: Int64) -> String {
        value < 10 ? "0\(value)" : "\(value)"
    }

    private static func fixed(_ value: Double, _ places: Int) -> String {
        var scale: Int64 = 1
        for _ in 0..<places {
            scale *= 10
        }
        let scaled = Int64((value * Double(scale)).rounded())
        guard places > 0 else {
            return "\(scaled)"
        }
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
    }
}

extension Duration {
    /// Whole milliseconds, rounded down.
    var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}
