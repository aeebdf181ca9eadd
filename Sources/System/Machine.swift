import CLinux
import Glibc

/// The machine this runs on.
public enum Machine {
    /// The size of a page, in bytes.
    public static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// The size of a huge page, in bytes: 2 MiB on x86-64, and on arm64 with 4 KiB pages.
    public static let hugePageBytes = 2 << 20

    /// Gives the memory that this process has freed back to the system, which the allocator does only in part by itself. It walks through all
    /// that is free, so it is for after something large, in the background.
    public static func giveBackFreedMemory() { zerrow_machine_trim_heap() }

    /// Memory as the kernel counts it.
    public struct Memory: Sendable, Equatable {
        /// All the memory there is, in bytes.
        public let bytesTotal: Int
        /// The memory that can be used without swapping, in bytes: the kernel's estimate.
        public let bytesAvailable: Int
        /// All the swap there is, in bytes; 0 where there is none.
        public let swapBytesTotal: Int
        /// The part of it that is free, in bytes.
        public let swapBytesFree: Int
    }

    /// Memory and swap, from `/proc/meminfo`.
    public static func memory() throws(SystemError) -> Memory {
        let path = "/proc/meminfo"
        let text = String(decoding: try Files.read(path, bytesMax: 64 << 10), as: UTF8.self)
        var values: [Substring: Int] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == ":" }
            if words.count >= 2, let kibibytes = Int(words[1]) { values[words[0]] = kibibytes << 10 }
        }
        guard let total = values["MemTotal"], let available = values["MemAvailable"] else {
            throw SystemError(.read, errno: EPROTO, context: "\(path), which lacks MemTotal or MemAvailable")
        }
        return Memory(
            bytesTotal: total, bytesAvailable: available, swapBytesTotal: values["SwapTotal"] ?? 0,
            swapBytesFree: values["SwapFree"] ?? 0)
    }

    /// Where something is mounted, as this process sees it; nothing where that can't be told.
    public static func mountPoints() -> [String] {
        guard let text = try? Files.read("/proc/self/mountinfo", bytesMax: 4 << 20) else { return [] }
        return text.split(separator: UInt8(ascii: "\n")).compactMap { line in
            let words = line.split(separator: UInt8(ascii: " "), maxSplits: 5)
            return words.count > 4 ? String(decoding: unescaped(words[4]), as: UTF8.self) : nil
        }
    }

    /// A name as the kernel's tables have it: spaces and the like are a backslash and three octal digits.
    private static func unescaped(_ name: ArraySlice<UInt8>) -> [UInt8] {
        var (result, rest) = ([UInt8](), name)
        while let first = rest.popFirst() {
            let digits = rest.prefix(3)
            if first == UInt8(ascii: "\\"), digits.count == 3,
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
            {
                result.append(value)
                rest.removeFirst(3)
            } else {
                result.append(first)
            }
        }
        return result
    }

    /// How many processors this process may run on, at least 1.
    public static func processorCount() -> Int { Int(zerrow_processor_count()) }
}

/// Time that never goes back and does not stop for anything but suspension.
public enum MonotonicClock {
    /// Nanoseconds since an arbitrary moment.
    public static func nanoseconds() -> UInt64 {
        var time = timespec()
        // It can't fail: the clock exists on every kernel, and the pointer is good.
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The time of day.
public enum WallClock {
    /// Nanoseconds since 1970. It may be set back at any moment: it is for people, and no durations are made of it.
    public static func nanoseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
