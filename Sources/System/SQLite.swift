import Glibc

/// A database of the machine's own SQLite library, which is loaded when the first one is opened.
///
/// It is not linked: where the library is missing, all but the database works. Calls wait for the disk, and, as long as the
/// opener allows, for others that have the file locked. Used on one thread at a time. Source: sqlite.org/c3ref.
public final class SQLite {
    /// An error, in SQLite's words.
    public struct Failure: Error, Equatable, CustomStringConvertible {
        /// The result code; 0 when there is no library.
        public let code: Int32
        /// The action that failed, and why it did.
        public let description: String

        /// Whether the file is no database, or a broken one.
        public var isBroken: Bool { code & 0xff == 11 || code & 0xff == 26 }

        /// Whether a statement would have taken too long, as it does where a table is something else than was made.
        public var isEndless: Bool { code & 0xff == 9 }

        /// Whether the file has other tables, or columns, than were asked for.
        public var isOfAnotherKind: Bool { code & 0xff == 1 }

        /// A failure that the library knows nothing of.
        public init(_ description: String) { self.init(code: 0, description: description) }

        /// A file that the library need not be asked about (SQLITE_NOTADB).
        public init(notADatabase description: String) { self.init(code: 26, description: description) }

        fileprivate init(code: Int32, description: String) {
            self.code = code
            self.description = description
        }

        /// Whether somebody else has the file locked.
        public var isBusy: Bool { code & 0xff == 5 || code & 0xff == 6 }
    }

    /// A value of a column or a parameter.
    public enum Value: Equatable, Sendable {
        case null, integer(Int64), real(Double), text(String)
    }

    private let library: Library
    private let database: OpaquePointer
    /// What a statement may still do, in thousands of the library's instructions; the library counts it down.
    private let budget: UnsafeMutablePointer<Int>
    private let budgetMax: Int

    /// Whether this machine has the library.
    public static var isAvailable: Bool { Library.shared != nil }

    /// Opens the file. Its path has no symbolic links: one is an error. What the file is was looked at before: the library waits for
    /// whoever writes to a FIFO.
    ///
    /// - Parameters:
    ///   - creates: whether it is made where there is none; that is an error otherwise.
    ///   - waitMilliseconds: how long each call waits for others that have the file locked.
    ///   - thousandInstructionsMax: how much a statement may do; a millisecond is about ten thousand.
    public init(
        _ path: String, creates: Bool = true, waitMilliseconds: Int32 = 500, thousandInstructionsMax: Int = 20_000
    ) throws(Failure) {
        guard let library = Library.shared else {
            throw Failure(code: 0, description: "opening \(path): this machine has no libsqlite3.so.0")
        }
        var database: OpaquePointer?
        // SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW.
        let code = library.open(path, &database, 0x2 | (creates ? 0x4 : 0) | 0x8000 | 0x0100_0000, nil)
        guard code == 0, let database else {
            _ = database.map(library.close)
            throw Failure(code: code, description: "opening \(path): SQLite's error \(code)")
        }
        self.library = library
        self.database = database
        budgetMax = thousandInstructionsMax
        budget = .allocate(capacity: 1)
        budget.initialize(to: budgetMax)
        _ = library.busyTimeout(database, waitMilliseconds)
        library.progressHandler(
            database, 1000,
            { raw in
                guard let budget = raw?.assumingMemoryBound(to: Int.self) else { return 1 }
                budget.pointee -= 1
                return budget.pointee < 0 ? 1 : 0
            }, budget)
    }

    deinit {
        _ = library.close(database)
        budget.deallocate()
    }

    /// Runs one statement and returns its rows.
    @discardableResult
    public func run(_ statement: String, _ parameters: [Value] = []) throws(Failure) -> [[Value]] {
        budget.pointee = budgetMax
        var prepared: OpaquePointer?
        try check(library.prepare(database, statement, -1, &prepared, nil), statement)
        guard let prepared else { return [] }
        defer { _ = library.finalize(prepared) }
        for (index, parameter) in parameters.enumerated() {
            try check(bind(parameter, to: Int32(index + 1), of: prepared), statement)
        }
        var rows: [[Value]] = []
        while true {
            let code = library.step(prepared)
            // SQLITE_ROW, SQLITE_DONE.
            if code == 101 { return rows }
            guard code == 100 else { throw failure(code, statement) }
            rows.append((0..<library.columnCount(prepared)).map { value(of: prepared, $0) })
        }
    }

    /// Runs statements that all take effect, or none.
    public func inTransaction(_ body: () throws(Failure) -> Void) throws(Failure) {
        try run("begin immediate")
        do throws(Failure) {
            try body()
            try run("commit")
        } catch {
            _ = try? run("rollback")
            throw error
        }
    }

    private func bind(_ value: Value, to index: Int32, of statement: OpaquePointer) -> Int32 {
        switch value {
        case .null: library.bindNull(statement, index)
        case .integer(let value): library.bindInteger(statement, index, value)
        case .real(let value): library.bindReal(statement, index, value)
        // SQLITE_TRANSIENT: the library makes its own copy before it returns.
        case .text(let value): library.bindText(statement, index, value, -1, OpaquePointer(bitPattern: -1))
        }
    }

    private func value(of statement: OpaquePointer, _ column: Int32) -> Value {
        switch library.columnType(statement, column) {
        case 1: .integer(library.columnInteger(statement, column))
        case 2: .real(library.columnReal(statement, column))
        case 3: library.columnText(statement, column).map { .text(String(cString: $0)) } ?? .null
        default: .null
        }
    }

    private func check(_ code: Int32, _ statement: String) throws(Failure) {
        if code != 0 { throw failure(code, statement) }
    }

    private func failure(_ code: Int32, _ statement: String) -> Failure {
        let reason = library.message(database).map { String(cString: $0) } ?? "SQLite's error \(code)"
        return Failure(code: code, description: "\(statement.prefix(60)): \(reason)")
    }
}

/// The functions of the library, by their types in sqlite3.h.
private struct Library: Sendable {
    typealias Text = UnsafePointer<CChar>
    typealias Open = @convention(c) (Text, UnsafeMutablePointer<OpaquePointer?>, Int32, Text?) -> Int32
    typealias Prepare =
        @convention(c) (
            OpaquePointer, Text, Int32, UnsafeMutablePointer<OpaquePointer?>, UnsafeMutablePointer<Text?>?
        ) -> Int32
    typealias Act = @convention(c) (OpaquePointer) -> Int32
    typealias ActOn = @convention(c) (OpaquePointer, Int32) -> Int32
    typealias BindText = @convention(c) (OpaquePointer, Int32, Text, Int32, OpaquePointer?) -> Int32

    let open: Open
    let close: Act
    let busyTimeout: ActOn
    let progressHandler:
        @convention(c) (
            OpaquePointer, Int32, @convention(c) (UnsafeMutableRawPointer?) -> Int32, UnsafeMutableRawPointer?
        ) -> Void
    let message: @convention(c) (OpaquePointer) -> Text?
    let prepare: Prepare
    let finalize: Act
    let step: Act
    let bindNull: ActOn
    let bindInteger: @convention(c) (OpaquePointer, Int32, Int64) -> Int32
    let bindReal: @convention(c) (OpaquePointer, Int32, Double) -> Int32
    let bindText: BindText
    let columnCount: Act
    let columnType: ActOn
    let columnInteger: @convention(c) (OpaquePointer, Int32) -> Int64
    let columnReal: @convention(c) (OpaquePointer, Int32) -> Double
    let columnText: @convention(c) (OpaquePointer, Int32) -> Text?

    /// The library, loaded for good; nil where it is missing or lacks something.
    static let shared = try? Library()

    private struct Missing: Error {}

    private init() throws {
        let handle = dlopen("libsqlite3.so.0", RTLD_NOW | RTLD_LOCAL)
        // Each pointer is a function of the library whose declaration the field's type repeats.
        func function<Function>(_ name: String) throws -> Function {
            guard let handle, let pointer = dlsym(handle, "sqlite3_" + name) else { throw Missing() }
            return unsafeBitCast(pointer, to: Function.self)
        }
        open = try function("open_v2")
        close = try function("close_v2")
        busyTimeout = try function("busy_timeout")
        progressHandler = try function("progress_handler")
        message = try function("errmsg")
        prepare = try function("prepare_v2")
        finalize = try function("finalize")
        step = try function("step")
        bindNull = try function("bind_null")
        bindInteger = try function("bind_int64")
        bindReal = try function("bind_double")
        bindText = try function("bind_text")
        columnCount = try function("column_count")
        columnType = try function("column_type")
        columnInteger = try function("column_int64")
        columnReal = try function("column_double")
        columnText = try function("column_text")
    }
}
