import Glibc
import System
import Testing

/// The machine's own library; where it is missing there is nothing to test.
@Suite struct SQLiteTests {
    private static func path(_ name: String = #function) -> String {
        "/tmp/zerrow-sqlite-\(getpid())-\(name.prefix { $0.isLetter }).sqlite"
    }

    @Test func whatIsWrittenIsReadBack() throws {
        let path = Self.path()
        defer { unlink(path) }
        do {
            let database = try SQLite(path)
            try database.run("create table t (a text, b integer, c real, d)")
            try database.run(
                "insert into t values (?1, ?2, ?3, ?4)", [.text("é'\"\n"), .integer(.min), .real(0.1), .null])
        }
        let rows = try SQLite(path).run("select a, b, c, d from t")
        #expect(rows == [[.text("é'\"\n"), .integer(.min), .real(0.1), .null]])
    }

    @Test func aTransactionThatFailsLeavesNothing() throws {
        let path = Self.path()
        defer { unlink(path) }
        let database = try SQLite(path)
        try database.run("create table t (a integer primary key)")
        #expect(throws: SQLite.Failure.self) {
            try database.inTransaction { () throws(SQLite.Failure) in
                try database.run("insert into t values (1)")
                try database.run("insert into t values (1)")
            }
        }
        #expect(try database.run("select count(*) from t") == [[.integer(0)]])
    }

    @Test func aFileThatIsNoDatabaseIsBroken() throws {
        let path = Self.path()
        defer { unlink(path) }
        try Files.write(path, String(repeating: "no database ", count: 100))
        let database = try SQLite(path)
        #expect {
            try database.run("create table t (a)")
        } throws: { error in
            (error as? SQLite.Failure)?.isBroken == true
        }
    }

    @Test func aStatementThatIsWrongIsNamed() throws {
        let path = Self.path()
        defer { unlink(path) }
        let database = try SQLite(path)
        #expect {
            try database.run("select * from nowhere")
        } throws: { error in
            "\(error)".contains("select * from nowhere") && "\(error)".contains("no such table")
        }
    }

    @Test func aPlaceThatCannotBeOpenedIsAnError() {
        #expect(throws: SQLite.Failure.self) { try SQLite("/nonexistent/folder/file.sqlite") }
    }
}
