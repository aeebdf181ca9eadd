import Glibc
import System

/// The needs of models when they last ran, kept from run to run in a small database.
///
/// It makes runs better and is never needed: whatever is wrong with it, runs go on without it. Used on the engine's thread, which
/// never waits for others that have the file locked: a read then knows nothing, and writing is done on a thread of its own.
/// Only a file of this user's, in a folder that nobody else can write to, is opened; of what the library would open beside it the same
/// is true. Something else in its place is set aside, and a new one made.
public final class History {
    /// The resources that one execution of a model took.
    struct Need: Equatable, Sendable {
        /// The bytes of the tables that it read.
        var inputBytes: Int64
        /// The most memory it held for itself, its result included.
        var memoryBytes: Int64
        /// The bytes of its result that were its own.
        var outputBytes: Int64
        /// The time from its grant to its table, in seconds.
        var seconds: Double
    }

    /// More rows than this are not kept: the longest unused ones are deleted.
    static let rowsMax = 20_000
    /// No figure is believed that is larger, in bytes.
    private static let bytesMax: Int64 = 1 << 52
    /// The largest ratio of two inputs' sizes for which the need with one predicts the need with the other.
    private static let scaleMax = 64.0

    /// How long the thread that writes waits for others that have the file locked, in milliseconds.
    private static let writeMillisecondsMax: Int32 = 10_000

    private typealias Row = (code: String, need: Need)

    private let path: String
    /// What is known, by code: what was read for the runs of this engine, and what it noted itself; one need for each size of inputs.
    private var known: [String: [Int64: Need]] = [:]
    /// How many reads are under way.
    private var readCount = 0
    /// What is not written yet.
    private var waiting: [Row] = []
    /// Needs that are being written.
    private var writing: [Row] = []

    /// What the user should know of it, and was not told yet.
    private(set) var notes: [String] = []

    /// Whether something is being written.
    var isWriting: Bool { !writing.isEmpty }

    /// How many executions are not remembered yet.
    var unwrittenCount: Int { writing.count + waiting.count }

    /// A history in that file, which is made when there is something to write.
    init(_ path: String) { self.path = path }

    /// The file to keep it in: `ZERROW_HISTORY`, where empty means none, else a place among the user's state. Nil for none.
    public static func path(_ environment: [String: String]) -> String? {
        if let given = environment["ZERROW_HISTORY"] { return given.isEmpty ? nil : given }
        if let state = environment["XDG_STATE_HOME"], state.hasPrefix("/") { return state + "/zerrow/history.sqlite" }
        guard let home = environment["HOME"], home.hasPrefix("/"), home != "/" else { return nil }
        return home + "/.local/state/zerrow/history.sqlite"
    }

    /// Whether a history can be kept in that file, as far as that can be said without changing anything.
    static func isPossible(at path: String) -> Bool {
        guard SQLite.isAvailable else { return false }
        var folder = Path.parent(path)
        if Files.exists(folder) {
            guard let open = try? Folder(folder), (try? open.sharing()).flatMap(\.self) == nil else { return false }
        }
        if Files.exists(path) { return access(path, R_OK | W_OK) == 0 && access(folder, W_OK | X_OK) == 0 }
        while !Files.exists(folder), folder.count > 1 { folder = Path.parent(folder) }
        return access(folder + "/.", W_OK | X_OK) == 0
    }

    /// What the model probably needs, by what it needed last with inputs of about that size; nil when it never ran with any such, as far
    /// as is known.
    func need(code: String, inputBytes: Int64) -> Need? {
        let size = Self.size(inputBytes)
        let closest = known[code]?.min { left, right in
            (abs(left.key - size), -left.key) < (abs(right.key - size), -right.key)
        }
        return closest.flatMap { Self.scaled($0.value, to: inputBytes) }
    }

    /// Whether something is being read, which may take long.
    var isReading: Bool { readCount > 0 }

    /// Reads what is known of models, in the background; what can't be read is not known.
    func read(_ codes: Set<String>, by background: BackgroundWork, then: @escaping () -> Void = {}) {
        readCount += 1
        background.begin(.history) { [path] in
            HoldPoint.history.pass()
            return Self.needs(of: codes, in: path)
        } then: { [weak self] (found: [String: [Need]]) in
            self?.take(found)
            then()
        }
    }

    private func take(_ found: [String: [Need]]) {
        readCount -= 1
        // An engine that serves for years has seen many versions of models.
        if known.count > Self.rowsMax { known = [:] }
        for (code, needs) in found {
            for need in needs { known[code, default: [:]][Self.size(need.inputBytes)] = need }
        }
        // What this engine noted and has not written is newer.
        for (code, need) in writing + waiting { known[code, default: [:]][Self.size(need.inputBytes)] = need }
    }

    /// The needs of models that a file has; none where it can't be read.
    private static func needs(of codes: Set<String>, in path: String) -> [String: [Need]] {
        var found: [String: [Need]] = [:]
        do throws(SQLite.Failure) {
            let reader = try SQLite(
                HistoryFile(path).checkedPath(), creates: false, waitMilliseconds: 0, thousandInstructionsMax: 200)
            // A view of that name may be without end.
            let tables = try reader.run("select 1 from sqlite_schema where name = 'needs' and type = 'table'", [])
            guard !tables.isEmpty else { return [:] }
            for code in codes {
                let rows = try reader.run(
                    "select input_bytes, memory_bytes, output_bytes, seconds from needs where code = ?1 limit 256",
                    [.text(code)])
                found[code] = rows.compactMap { row in
                    guard case .integer(let input) = row[0], case .integer(let memory) = row[1],
                        case .integer(let output) = row[2], case .real(let seconds) = row[3]
                    else { return nil }
                    return Need(inputBytes: input, memoryBytes: memory, outputBytes: output, seconds: seconds)
                }
            }
        } catch {
            // Somebody has it locked, or it is none: whoever writes to it next sees to that.
        }
        return found
    }

    /// The probable need with inputs of another size.
    private static func scaled(_ need: Need, to inputBytes: Int64) -> Need? {
        let (input, memory, output, seconds) = (need.inputBytes, need.memoryBytes, need.outputBytes, need.seconds)
        // A damaged row is as good as none.
        guard [input, memory, output].allSatisfy({ (0...bytesMax).contains($0) }), seconds.isFinite, seconds >= 0
        else { return nil }
        let scale = Double(max(1, inputBytes)) / Double(max(1, input))
        guard scale <= scaleMax, scale >= 1 / scaleMax else { return nil }
        // Memory need not grow with the inputs, but it is better to expect it.
        return Need(
            inputBytes: inputBytes, memoryBytes: Int64(Double(memory) * max(scale, 0.25)),
            outputBytes: Int64(Double(output) * scale), seconds: seconds * scale)
    }

    /// Notes what an execution took; written by `save`.
    func note(code: String, _ need: Need) {
        waiting.append((code, need))
        known[code, default: [:]][Self.size(need.inputBytes)] = need
        // Who has the file locked for that long has it for ever.
        if waiting.count > Self.rowsMax { waiting.removeFirst(Self.rowsMax / 2) }
    }

    /// Begins to write the noted needs, on a thread of its own. Needs that can't be written are lost, unless somebody has the
    /// file locked for long: then they wait for the next call.
    func save(by background: BackgroundWork) {
        guard writing.isEmpty, !waiting.isEmpty else { return }
        let (rows, path) = (waiting, path)
        writing = rows
        waiting = []
        background.begin(.history) { () -> (failure: SQLite.Failure?, setAside: String?) in
            HoldPoint.history.pass()
            var setAside: String?
            do throws(SQLite.Failure) {
                try Self.write(rows, to: HistoryFile(path), setAside: &setAside)
                return (nil, setAside)
            } catch {
                return (error, setAside)
            }
        } then: { [weak self] failure, setAside in
            guard let self else { return }
            writing = []
            if failure?.isBusy == true { return waiting = rows + waiting }
            if let setAside { note(setAside) }
            if let failure { note("what models needed is not remembered: \(failure)") }
            save(by: background)
        }
    }

    private func note(_ text: String) {
        if !notes.contains(text) { notes.append(text) }
    }

    /// What the user should know of it; each once.
    func takeNotes() -> [String] {
        defer { notes = [] }
        return notes
    }

    /// Opens the file, and makes it where there is none, or something that is none.
    private static func open(_ file: HistoryFile, setAside: inout String?) throws(SQLite.Failure) -> SQLite {
        file.makeFolder()
        do throws(SQLite.Failure) {
            return try prepared(file)
        } catch {
            guard error.isBroken || error.isEndless || error.isOfAnotherKind, try file.setAside() else { throw error }
            setAside = "what models needed is remembered anew: \(error)"
            return try prepared(file)
        }
    }

    private static func prepared(_ file: HistoryFile) throws(SQLite.Failure) -> SQLite {
        let database = try SQLite(file.checkedPath(), waitMilliseconds: writeMillisecondsMax)
        let others = try database.run(
            "select name from sqlite_schema where name <> 'needs' and name not like 'sqlite_%' limit 1")
        guard others.isEmpty else {
            throw SQLite.Failure(
                "\(file.path) is a database of something else; name another file with ZERROW_HISTORY")
        }
        // A row that is lost with the machine's power costs nothing; waiting for the disk would.
        try database.run("pragma synchronous = off")
        try database.run(
            """
            create table if not exists needs (
                code text not null, size integer not null, input_bytes integer not null, memory_bytes integer not null,
                output_bytes integer not null, seconds real not null, used_at integer not null,
                primary key (code, size)) without rowid
            """)
        return database
    }

    private static func write(
        _ rows: [Row], to file: HistoryFile, setAside: inout String?
    ) throws(SQLite.Failure) {
        do throws(SQLite.Failure) {
            try write(rows, to: open(file, setAside: &setAside))
        } catch {
            // It opens, and has a table of that name, but not this one.
            guard error.isOfAnotherKind || error.isEndless, try file.setAside() else { throw error }
            setAside = "what models needed is remembered anew: \(error)"
            try write(rows, to: prepared(file))
        }
    }

    private static func write(_ rows: [Row], to database: SQLite) throws(SQLite.Failure) {
        try database.inTransaction { () throws(SQLite.Failure) in
            for (code, need) in rows {
                try database.run(
                    "insert or replace into needs values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    [
                        .text(code), .integer(size(need.inputBytes)), .integer(need.inputBytes),
                        .integer(need.memoryBytes), .integer(need.outputBytes), .real(need.seconds),
                        .integer(Int64(time(nil))),
                    ])
            }
            try database.run(
                """
                delete from needs where used_at < (select used_at from needs order by used_at desc limit 1 offset ?1)
                """, [.integer(Int64(rowsMax))])
        }
    }

    /// Inputs of about the same size have the same: twice the base-2 logarithm.
    private static func size(_ bytes: Int64) -> Int64 { Int64((log2(Double(max(1, bytes))) * 2).rounded()) }
}
