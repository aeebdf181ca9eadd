import Glibc

/// A process and all that descends from it, as `/proc` showed them at one moment.
///
/// Reading it takes some microseconds for each thread: it is for background threads.
public struct ProcessTree: Sendable {
    /// One thread of one of the processes.
    public struct Thread: Sendable {
        /// Its number.
        public let id: pid_t
        /// Whether it runs, or could.
        public let isRunning: Bool
        /// How far it gives way to others.
        public let nice: Int
    }

    /// The processor time that they have used, in nanoseconds, with that of children which were waited for.
    public private(set) var processorNanoseconds: UInt64 = 0
    /// Their threads.
    public private(set) var threads: [Thread] = []

    /// Reads a tree; one that ended meanwhile is empty. Of more than `processesMax` processes the rest is left out.
    public init(of root: pid_t, processesMax: Int = 8192) {
        var processes = [root]
        var index = 0
        while index < processes.count, index < processesMax {
            let folder = "/proc/\(processes[index])"
            index += 1
            guard let process = Self.fields(of: folder) else { continue }
            let ticks = process[11...14].reduce(0) { $0 &+ (UInt64($1) ?? 0) }
            processorNanoseconds &+= ticks &* Self.tickNanoseconds
            for name in (try? Files.list(folder + "/task")) ?? [] {
                guard let id = pid_t(name) else { continue }
                add(id, folder + "/task/" + name)
                processes += Self.children(folder + "/task/" + name)
            }
        }
    }

    private mutating func add(_ id: pid_t, _ folder: String) {
        guard let thread = Self.fields(of: folder) else { return }
        threads.append(Thread(id: id, isRunning: thread[0] == "R", nice: Int(thread[16]) ?? 0))
    }

    /// When a process was started, in ticks since the machine was: with its number it means this process and no later one. Nil when
    /// there is none, or it can't be seen from here.
    public static func startTicks(of process: pid_t) -> UInt64? {
        guard let fields = fields(of: "/proc/\(process)"), fields.count > 19 else { return nil }
        return UInt64(fields[19])
    }

    /// What `stat` says, from the state on: a name may have spaces and parentheses.
    private static func fields(of folder: String) -> [Substring]? {
        guard let bytes = try? Files.read(folder + "/stat", bytesMax: 4096) else { return nil }
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        return fields.count > 17 ? fields : nil
    }

    private static func children(_ folder: String) -> [pid_t] {
        guard let bytes = try? Files.read(folder + "/children", bytesMax: 1 << 20) else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap { pid_t($0) }
    }

    private static let tickNanoseconds = 1_000_000_000 / UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
}

/// How far processes give way to others when there are not enough processors.
public enum Nice {
    /// What a worker has where nothing else keeps it from taking the engine's time.
    public static let worker = 5
    /// The most there is.
    public static let most = 19

    /// What threads need to weigh no more than so many processors' worth together: each step is a quarter less.
    public static func value(runningThreads: Int, processors: Int) -> Int {
        var nice = worker
        var weight = Double(runningThreads)
        while weight > Double(2 * processors), nice < most {
            weight /= 1.25
            nice += 1
        }
        return nice
    }

    /// Has a thread give way so far; one that does already, or is gone or another user's, is left as it is.
    public static func set(_ value: Int, thread: pid_t) {
        _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(thread), Int32(value))
    }
}
