import FoundationEssentials
import Glibc
import System

/// The folder that jobs are remembered in: for each `ID.json`, what is known of it, and `ID.log`, a line of JSON for each line that was
/// said.
///
/// The log is locked by the process whose job it is, for as long as that lives: so one that was killed is not taken for a running one.
/// Nobody else may be able to write to the folder, and only files of this user's alone are read. What is no job is left alone.
public struct JobFolder: Sendable {
    /// More jobs than this are not kept.
    static let jobsMax = 200
    /// Jobs are not kept for longer than this, in seconds.
    static let secondsMax = 30 * 24 * 3600
    /// No longer file of a job is read, in bytes: a plan of many models has a long one.
    private static let fileBytesMax = 64 << 20

    /// Its path.
    public let path: String
    private let folder: Folder

    /// The folder to keep jobs in: `ZERROW_JOBS`, where empty means none, else a place among the user's state. Nil for none.
    public static func path(_ environment: [String: String]) -> String? {
        if let given = environment["ZERROW_JOBS"] { return given.isEmpty ? nil : given }
        if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") { return state + "/zerrow/jobs" }
        guard let home = environment["HOME"], home.hasPrefix("/"), home != "/" else { return nil }
        return home + "/.local/state/zerrow/jobs"
    }

    /// Opens the folder.
    ///
    /// - Parameter makes: whether it is made, and those above it, where they are not there.
    /// - Throws: `EngineError.options` where others can write to it, `SystemError` where it can't be opened.
    public init(_ path: String, makes: Bool) throws {
        self.path = path
        if makes { try Self.make(path) }
        folder = try Folder(path)
        if let sharing = try folder.sharing() {
            throw EngineError.options("\(path): \(sharing) (ZERROW_JOBS names the folder)")
        }
    }

    private static func make(_ path: String) throws(SystemError) {
        var missing: [String] = []
        var next = path
        while !Files.exists(next), next.count > 1 {
            missing.append(next)
            next = Path.parent(next)
        }
        for folder in missing.reversed() {
            do throws(SystemError) {
                try Files.makeDirectory(folder, mode: 0o700)
            } catch {
                // Another command may make it at the same moment.
                if error.errno != EEXIST { throw error }
            }
        }
    }

    // MARK: Writing

    /// Makes a job's log, locked; it stays so until the descriptor is closed, by the end of its process at the latest.
    func makeLog(_ id: String) throws -> DescriptorBox {
        let log = DescriptorBox(try folder.make(id + ".log"))
        // It is a new file: only who looks at every file there could have it locked, and nobody of ours does.
        guard try log.descriptor.lockIfFree() else { throw EngineError.options("\(path)/\(id).log is locked") }
        return log
    }

    /// Writes what is known of a job, in place of what was.
    func write(_ job: Job) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        let bytes = [UInt8](try encoder.encode(job))
        let (name, new) = (job.id + ".json", job.id + ".new")
        if try folder.status(of: new) != nil { try folder.remove(new) }
        let file = try folder.make(new)
        do {
            try bytes.withUnsafeBufferPointer { (bytes) throws(SystemError) in
                try file.writeAll(UnsafeRawBufferPointer(bytes))
            }
            try folder.rename(new, name)
        } catch {
            _ = try? folder.remove(new)
            throw error
        }
    }

    /// Removes jobs that are old, or more than are kept; none that runs.
    func prune() throws(SystemError) {
        let now = Int(WallClock.nanoseconds() / 1_000_000_000)
        var jobs: [(id: String, changedAt: Int)] = []
        for name in try folder.names() {
            guard let (id, end) = Self.parts(name), let status = try folder.status(of: name) else { continue }
            if end == "json" {
                jobs.append((id, status.changedAt))
            } else if now - status.changedAt > Self.secondsMax {
                // Left by a process that was killed between making its log and the rest.
                remove(id)
            }
        }
        jobs.sort { ($0.changedAt, $0.id) > ($1.changedAt, $1.id) }
        for (place, job) in jobs.enumerated() where place >= Self.jobsMax || now - job.changedAt > Self.secondsMax {
            remove(job.id)
        }
    }

    private func remove(_ id: String) {
        if isAlive(id) { return }
        for end in [".json", ".log", ".new"] { _ = try? folder.remove(id + end) }
    }

    private static func parts(_ name: String) -> (id: String, end: Substring)? {
        let id = String(name.prefix { $0 != "." })
        guard Job.isID(id) else { return nil }
        let end = name.dropFirst(id.count + 1)
        return ["json", "log", "new"].contains(end) ? (id, end) : nil
    }

    // MARK: Reading

    /// Whether the process whose job it is lives.
    func isAlive(_ id: String) -> Bool {
        guard let log = try? folder.openOwn(id + ".log") else { return false }
        return (try? log.isLocked()) ?? false
    }

    /// The jobs, the newest first.
    public func jobs() throws -> [Job] {
        try folder.names().compactMap { name in
            guard let (id, end) = Self.parts(name), end == "json" else { return nil }
            return job(id)
        }.sorted { ($0.startedAt, $0.id) > ($1.startedAt, $1.id) }
    }

    /// A job; nil when there is none of that id, or its file is none.
    func job(_ id: String) -> Job? {
        // First of all: one that ends in this moment is no killed one.
        let isAlive = isAlive(id)
        guard let file = try? folder.openOwn(id + ".json"), let status = try? file.status(),
            status.bytes <= Self.fileBytesMax, let bytes = try? file.bytes(0..<status.bytes),
            JSONShape(bytes).excess == nil, var job = try? JSONDecoder().decode(Job.self, from: Data(bytes)),
            job.id == id
        else { return nil }
        if !job.status.isFinal, !isAlive {
            // The last that is known of it is the last line that was said in it.
            let said = (try? folder.openOwn(id + ".log").status().changedAt) ?? 0
            job.abandon(at: Int64(max(status.changedAt, said)) * 1_000_000_000)
        }
        return job
    }

    /// The job that an id, or the beginning of one, means.
    ///
    /// - Throws: `EngineError.options` when there is none, or more than one.
    public func job(startingWith text: String) throws -> Job {
        let prefix = text.lowercased()
        guard Job.isPrefix(prefix) else {
            throw EngineError.options("'\(text)' is no job's id, which has 12 of the digits 0-9 and a-f: see 'job ls'")
        }
        let ids = Set(try folder.names().compactMap(Self.parts).filter { $0.end == "json" }.map(\.id))
        let found = ids.filter { $0.hasPrefix(prefix) }.sorted()
        guard let id = found.first else {
            throw EngineError.options("there is no job '\(text)': see 'job ls'; old ones are forgotten")
        }
        guard found.count == 1 else {
            throw EngineError.options(
                "'\(text)' means several jobs, \(found.prefix(5).joined(separator: ", ")): say more of it")
        }
        guard let job = job(id) else {
            throw EngineError.options("what is remembered of job \(id) can't be read: \(path)/\(id).json is damaged")
        }
        return job
    }

    /// What was said in a job. A line that is none is left out.
    public func lines(of id: String) throws -> [JobLine] {
        let file = try folder.openOwn(id + ".log")
        let bytes = try file.bytes(0..<min(file.status().bytes, Self.fileBytesMax))
        let decoder = JSONDecoder()
        return bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
            JSONShape(Array(line)).excess == nil ? try? decoder.decode(JobLine.self, from: Data(line)) : nil
        }
    }
}

extension Job {
    /// Its process has ended and said nothing.
    fileprivate mutating func abandon(at moment: Int64) {
        status = .abort
        endedAt = moment
        error = error ?? "its process was killed"
        for index in models.indices where ["waiting", "running"].contains(models[index].status) {
            models[index].status = "cancelled"
        }
    }
}
