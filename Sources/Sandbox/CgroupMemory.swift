import Glibc
import System

/// The memory of one control group and of all groups below it: its limit, and what the kernel has counted.
///
/// It is a path and nothing else: it may be used on any thread, and what it is asked of a group that is gone gives nothing.
public struct CgroupMemory: Sendable {
    /// Which interface the files speak.
    public let version: CgroupTree.Version
    /// The group's folder.
    public let path: String

    /// What the kernel has charged to a group, in bytes. Every page is charged to one group: the one of whoever touched it first.
    public struct Figures: Sendable, Equatable {
        /// All of it, in RAM.
        public var bytes: UInt64 = 0
        /// What processes have for themselves.
        public var anonymousBytes: UInt64 = 0
        /// Memory files: segments, and what lies in `/tmp` and `/dev/shm`.
        public var sharedBytes: UInt64 = 0
        /// The page cache over files on disks: given up when somebody needs room.
        public var cacheBytes: UInt64 = 0
        /// What is on swap; not part of the rest.
        public var swappedBytes: UInt64 = 0
    }

    /// What is charged now; zeros where the kernel does not say.
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

    /// What is charged now, in bytes; 0 where the kernel does not say.
    public var bytes: UInt64 { number(version == .v1 ? "/memory.usage_in_bytes" : "/memory.current") }

    /// The most that was ever charged at once, in bytes; 0 where the kernel does not say.
    public var bytesPeak: UInt64 { number(version == .v1 ? "/memory.max_usage_in_bytes" : "/memory.peak") }

    /// The limit on RAM, in bytes; nil for none.
    public var limitBytes: UInt64? { limit(in: version == .v1 ? "/memory.limit_in_bytes" : "/memory.max") }

    /// The limit that a file holds, in bytes; nil for none, or where the file isn't.
    func limit(in file: String) -> UInt64? {
        let bytes = CgroupTree.lines(path + file).first.flatMap { UInt64($0) }
        // Version 1 has a number for no limit: the largest that it can count to.
        return bytes.flatMap { $0 >= 1 << 60 ? nil : $0 }
    }

    /// Processes that the kernel killed because a limit was reached; with version 1 those of the group itself alone.
    public var outOfMemoryKills: Int {
        Int(clamping: figure("oom_kill", in: version == .v1 ? "/memory.oom_control" : "/memory.events"))
    }

    /// Limits the RAM, not what is on swap; nil: no limit. Where more is charged, the kernel makes room first, and kills with version 2
    /// if it can't.
    ///
    /// - Returns: whether the limit holds. With version 1 it doesn't where there is no room to be made.
    @discardableResult
    public func limit(_ bytes: UInt64?) -> Bool {
        switch version {
        case .v1: write("/memory.limit_in_bytes", bytes.map { "\($0)" } ?? "-1")
        case .v2: write("/memory.max", bytes.map { "\($0)" } ?? "max")
        }
    }

    /// Limits what is in RAM and on swap together, so that swap is no way round the limit; nil: no limit.
    @discardableResult
    func limitWithSwap(_ bytes: UInt64?) -> Bool {
        switch version {
        case .v1:
            // The second can't be below the first at any time: whichever way it goes, one of the two writes comes too early.
            // Where swap is not accounted, the file isn't there.
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

    /// With version 2, a limit on RAM and swap together keeps everything out of swap.
    func allowSwap() {
        if version == .v2 { write("/memory.swap.max", "max") }
    }

    /// Makes the kernel move pages of the group out of RAM: to swap, or, where they have a place on a disk, there. It waits
    /// for the disk.
    ///
    /// The limit is as before when it returns: pages that come back are charged to the group again, and a group of dead processes
    /// has nobody that could be killed for it.
    ///
    /// - Returns: what has left RAM, in bytes, measured.
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

    /// Makes the kernel let go of pages that are on swap already: after MADV_PAGEOUT they stay in RAM until somebody needs room.
    /// It waits until they are written. They are first in line, unless the disk was so fast that they were written before the kernel
    /// had put them there: then others of the group go in their place.
    ///
    /// - Returns: what has left RAM, in bytes, measured.
    @discardableResult
    public func releaseSwapped(_ wanted: UInt64) -> UInt64 {
        let name = version == .v1 ? "total_writeback" : "file_writeback"
        // What is still being written would be passed over.
        for _ in 0..<Self.writebackPausesMax where figure(name, in: "/memory.stat") > 0 {
            usleep(Self.pauseMicroseconds)
        }
        return reclaim(wanted)
    }

    /// Some seconds; a disk that is slower than that gets others' pages too.
    private static let writebackPausesMax = 2000

    /// The kernel gives up early: it passes over pages that were used, does not wait for those it writes, and goes by counters that
    /// are seconds old unless somebody has looked at them.
    ///
    /// - Parameter attempt: says whether it has reached the target.
    private func repeatWhileItHelps(down target: UInt64, _ attempt: () -> Bool) {
        var least = bytes
        var failures = 0
        while failures < Self.failuresMax {
            // Looking brings the kernel's counters up to date.
            _ = CgroupTree.lines(path + "/memory.stat")
            if attempt() { return }
            let now = bytes
            if now <= target { return }
            failures = now < least ? 0 : failures + 1
            least = min(least, now)
            // What is being written to swap is free a little later.
            if failures > 1 { usleep(Self.pauseMicroseconds) }
        }
    }

    /// So many attempts without an effect say that there is nothing left to move.
    private static let failuresMax = 8
    private static let pauseMicroseconds: UInt32 = 2000

    @discardableResult
    func write(_ file: String, _ text: String) -> Bool {
        (try? Files.write(path + file, text, create: false)) != nil
    }

    /// The number that a file holds; 0 where it isn't, and for "max".
    private func number(_ file: String) -> UInt64 {
        CgroupTree.lines(path + file).first.flatMap { UInt64($0) } ?? 0
    }

    /// One figure of a file with a name and a figure in each line; 0 where it isn't.
    func figure(_ name: String, in file: String) -> UInt64 {
        for line in CgroupTree.lines(path + file) {
            let words = line.split(separator: " ")
            if words.count == 2, words[0] == name { return UInt64(words[1]) ?? 0 }
        }
        return 0
    }
}
