import Glibc
import System

/// The memory of one control group and of all groups below it: its limit, and what the kernel has counted.
///
/// It is only a path: it may be used on any thread, and of a group that is gone it reads zeros and changes nothing.
public struct CgroupMemory: Sendable {
    /// The version of the files' interface.
    public let version: CgroupTree.Version
    /// The group's folder.
    public let path: String

    /// The memory that the kernel has charged to a group, in bytes. Every page is charged to one group: that of the process that
    /// touched it first.
    public struct Figures: Sendable, Equatable {
        /// All of it, in RAM.
        public var bytes: UInt64 = 0
        /// Memory that processes have for themselves.
        public var anonymousBytes: UInt64 = 0
        /// Memory files: segments, and files in `/tmp` and `/dev/shm`.
        public var sharedBytes: UInt64 = 0
        /// The page cache over files on disks: the kernel drops it when somebody needs room.
        public var cacheBytes: UInt64 = 0
        /// Memory that is on swap; not part of the rest.
        public var swappedBytes: UInt64 = 0
    }

    /// The figures now; zeros where the kernel does not give them.
    public func figures() -> Figures {
        var figures = Figures()
        figures.bytes = bytes
        var values: [Substring: UInt64] = [:]
        for line in CgroupTree.lines(path + "/memory.stat") {
            let words = line.split(separator: " ")
            if words.count == 2 { values[words[0]] = UInt64(words[1]) }
        }
        let prefix = version == .v1 ? "total_" : ""
        func value(_ name: String) -> UInt64 { values[Substring(prefix + name)] ?? 0 }
        figures.anonymousBytes = value(version == .v1 ? "rss" : "anon")
        figures.sharedBytes = value("shmem")
        let files = value(version == .v1 ? "cache" : "file")
        figures.cacheBytes = files > figures.sharedBytes ? files - figures.sharedBytes : 0
        figures.swappedBytes = version == .v1 ? value("swap") : number("/memory.swap.current")
        return figures
    }

    /// The memory charged now, in bytes; 0 where the kernel does not say.
    public var bytes: UInt64 { number(version == .v1 ? "/memory.usage_in_bytes" : "/memory.current") }

    /// The most that was ever charged at once, in bytes; 0 where the kernel does not say.
    public var bytesPeak: UInt64 { number(version == .v1 ? "/memory.max_usage_in_bytes" : "/memory.peak") }

    /// The limit on RAM, in bytes; nil for none.
    public var limitBytes: UInt64? { limit(in: version == .v1 ? "/memory.limit_in_bytes" : "/memory.max") }

    /// The limit in a file, in bytes; nil for none, or if the file doesn't exist.
    func limit(in file: String) -> UInt64? {
        let bytes = CgroupTree.lines(path + file).first.flatMap { UInt64($0) }
        // Version 1 has a number for no limit: the largest that it can count to.
        return bytes.flatMap { $0 >= 1 << 60 ? nil : $0 }
    }

    /// Processes that the kernel killed because a limit was reached; with version 1 those of the group itself alone.
    public var outOfMemoryKills: Int {
        Int(clamping: figure("oom_kill", in: version == .v1 ? "/memory.oom_control" : "/memory.events"))
    }

    /// Sets the limit of RAM, swap aside; nil removes it. If more is charged already, the kernel makes room first; if it can't,
    /// version 2 kills processes of the group, and version 1 keeps the old limit.
    ///
    /// - Returns: whether the limit holds.
    @discardableResult
    public func limit(_ bytes: UInt64?) -> Bool {
        switch version {
        case .v1: write("/memory.limit_in_bytes", bytes.map { "\($0)" } ?? "-1")
        case .v2: write("/memory.max", bytes.map { "\($0)" } ?? "max")
        }
    }

    /// Limits RAM and swap together, so that swap is no way round the limit; nil removes the limit.
    @discardableResult
    func limitWithSwap(_ bytes: UInt64?) -> Bool {
        switch version {
        case .v1:
            // The limit with swap can't be below the other one at any time: whichever way they change, one of the two writes
            // comes too early. Without swap accounting, the file doesn't exist.
            let text = bytes.map { "\($0)" } ?? "-1"
            write("/memory.memsw.limit_in_bytes", text)
            let holds = limit(bytes)
            write("/memory.memsw.limit_in_bytes", text)
            return holds
        case .v2:
            write("/memory.swap.max", bytes == nil ? "max" : "0")
            return limit(bytes)
        }
    }

    /// Lets pages go to swap: with version 2, a limit on RAM and swap together has kept everything out of it.
    func allowSwap() {
        if version == .v2 { write("/memory.swap.max", "max") }
    }

    /// Makes the kernel move pages of the group out of RAM: to swap, or, where they have a place on a disk, there. It waits
    /// for the disk.
    ///
    /// The limit is as before when it returns: pages that come back are charged to the group again, and a group of dead processes
    /// has nobody that could be killed for it.
    ///
    /// - Returns: the bytes that have left RAM, measured.
    @discardableResult
    public func reclaim(_ wanted: UInt64) -> UInt64 {
        let before = bytes
        if before == 0 || wanted == 0 { return 0 }
        let target = before > wanted ? before - wanted : 0
        switch version {
        case .v1:
            let limit = number("/memory.limit_in_bytes")
            repeatWhileItHelps(down: target) { write("/memory.limit_in_bytes", "\(target)") }
            write("/memory.limit_in_bytes", limit == 0 ? "-1" : "\(limit)")
        case .v2:
            allowSwap()
            if Files.exists(path + "/memory.reclaim") {
                repeatWhileItHelps(down: target) {
                    let now = self.bytes
                    return now <= target || write("/memory.reclaim", "\(now - target)")
                }
            } else {
                let high = CgroupTree.lines(path + "/memory.high").first.map(String.init) ?? "max"
                repeatWhileItHelps(down: target) { write("/memory.high", "\(target)") && bytes <= target }
                write("/memory.high", high)
            }
        }
        let after = bytes
        return before > after ? before - after : 0
    }

    /// Makes the kernel drop pages from RAM that are on swap already: after MADV_PAGEOUT they stay until somebody needs room. It
    /// waits until they are written. They are first in line, unless the disk was so fast that they were written before the kernel
    /// had put them there: then other pages of the group go in their place.
    ///
    /// - Returns: the bytes that have left RAM, measured.
    @discardableResult
    public func releaseSwapped(_ wanted: UInt64) -> UInt64 {
        let name = version == .v1 ? "total_writeback" : "file_writeback"
        // Pages that are still being written would be passed over.
        for _ in 0..<Self.writebackPausesMax where figure(name, in: "/memory.stat") > 0 {
            usleep(Self.pauseMicroseconds)
        }
        return reclaim(wanted)
    }

    /// Some seconds in all; if the disk is slower than that, other pages of the group go too.
    private static let writebackPausesMax = 2000

    /// Repeats an attempt, because the kernel gives up early: it passes over pages that were used, does not wait for pages that
    /// it writes, and goes by counters that are seconds old unless somebody has looked at them.
    ///
    /// - Parameter attempt: returns whether it has reached the target.
    private func repeatWhileItHelps(down target: UInt64, _ attempt: () -> Bool) {
        var least = bytes
        var failures = 0
        while failures < Self.failuresMax {
            // Reading the file brings the kernel's counters up to date.
            _ = CgroupTree.lines(path + "/memory.stat")
            if attempt() { return }
            let now = bytes
            if now <= target { return }
            failures = now < least ? 0 : failures + 1
            least = min(least, now)
            // Pages that are being written to swap are free a little later.
            if failures > 1 { usleep(Self.pauseMicroseconds) }
        }
    }

    /// After so many attempts without an effect, nothing is left to move.
    private static let failuresMax = 8
    private static let pauseMicroseconds: UInt32 = 2000

    @discardableResult
    func write(_ file: String, _ text: String) -> Bool {
        (try? Files.write(path + file, text, create: false)) != nil
    }

    /// The number in a file; 0 if the file doesn't exist, and for "max".
    private func number(_ file: String) -> UInt64 {
        CgroupTree.lines(path + file).first.flatMap { UInt64($0) } ?? 0
    }

    /// One figure of a file with a name and a figure in each line; 0 if it isn't there.
    func figure(_ name: String, in file: String) -> UInt64 {
        for line in CgroupTree.lines(path + file) {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == name { return UInt64(words[1]) ?? 0 }
        }
        return 0
    }
}
