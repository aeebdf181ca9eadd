import Glibc
import System
import Testing

@testable import Engine

@Suite struct HistoryTests {
    private static func folder(_ name: String = #function) -> String {
        "/tmp/zerrow-history-\(getpid())-\(name.prefix { $0.isLetter })"
    }

    private static func remove(_ folder: String) {
        for name in (try? Files.list(folder)) ?? [] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }

    /// Writes, and waits for it.
    private static func save(_ history: History) throws {
        let background = try BackgroundWork()
        history.save(by: background)
        while history.isWriting {
            _ = try Poll.wait([(background.reading.raw, .read)], timeoutMilliseconds: 1000)
            background.finish()
        }
    }

    /// What the file says of a model, to an engine that has noted nothing itself.
    private static func need(_ code: String, _ inputBytes: Int64, in path: String) throws -> History.Need? {
        let (history, background) = (History(path), try BackgroundWork())
        history.read([code], by: background)
        background.drain([.history], until: .max)
        return history.need(code: code, inputBytes: inputBytes)
    }

    @Test func whoAsksWhetherItIsPossibleChangesNothing() throws {
        let folder = Self.folder()
        let path = folder + "/needs.sqlite"
        #expect(History.isPossible(at: path) && !Files.exists(folder))
        #expect(try Self.need("a", 1, in: path) == nil)
        #expect(!Files.exists(folder))
    }

    @Test func aLockedFileIsWaitedForByNobodyButTheThreadThatWrites() throws {
        let folder = Self.folder()
        defer { Self.remove(folder) }
        let path = folder + "/needs.sqlite"
        let history = History(path)
        let (old, new) = (
            History.Need(inputBytes: 10, memoryBytes: 20, outputBytes: 30, seconds: 4),
            History.Need(inputBytes: 10, memoryBytes: 50, outputBytes: 30, seconds: 4)
        )
        history.note(code: "a", old)
        try Self.save(history)
        let other = try SQLite(path)
        try other.run("begin exclusive")
        #expect(try Self.need("a", 10, in: path) == nil, "it can't be read")
        #expect(history.need(code: "a", inputBytes: 10) == old, "what this engine noted it knows")
        let background = try BackgroundWork()
        history.note(code: "a", new)
        history.save(by: background)
        // The writer is kept until the lock goes, which happens on this very thread.
        #expect(history.isWriting && history.unwrittenCount == 1)
        #expect(history.need(code: "a", inputBytes: 10) == new)
        try other.run("commit")
        while history.isWriting {
            _ = try Poll.wait([(background.reading.raw, .read)], timeoutMilliseconds: 1000)
            background.finish()
        }
        #expect(history.unwrittenCount == 0)
        #expect(try Self.need("a", 10, in: path) == new)
    }

    @Test func whatAModelNeededIsKnownToTheNextEngine() throws {
        let folder = Self.folder()
        defer { Self.remove(folder) }
        let need = History.Need(inputBytes: 1000, memoryBytes: 5000, outputBytes: 300, seconds: 2)
        let first = History(folder + "/needs.sqlite")
        first.note(code: "a", need)
        let path = folder + "/needs.sqlite"
        #expect(try Self.need("a", 1000, in: path) == nil)
        try Self.save(first)
        #expect(try Self.need("a", 1000, in: path) == need)
        #expect(try Self.need("b", 1000, in: path) == nil)
    }

    @Test func theNearestSizeCountsAndIsScaled() throws {
        let folder = Self.folder()
        defer { Self.remove(folder) }
        let path = folder + "/needs.sqlite"
        let history = History(path)
        history.note(code: "a", .init(inputBytes: 1 << 20, memoryBytes: 10 << 20, outputBytes: 1 << 20, seconds: 1))
        history.note(code: "a", .init(inputBytes: 1 << 30, memoryBytes: 2 << 30, outputBytes: 1 << 30, seconds: 100))
        try Self.save(history)
        let need = try #require(try Self.need("a", 2 << 30, in: path))
        #expect(need.memoryBytes == 4 << 30)
        #expect(need.outputBytes == 2 << 30)
        #expect(need.seconds == 200)
        // With much smaller inputs it may still need a good part of it.
        let small = try #require(try Self.need("a", 100 << 10, in: path))
        #expect(small.memoryBytes == (10 << 20) / 4)
        // Nothing is known of what is a hundred times as large.
        #expect(try Self.need("a", 100 << 30, in: path) == nil)
    }

    @Test func theLastTimeCounts() throws {
        let folder = Self.folder()
        defer { Self.remove(folder) }
        let history = History(folder + "/needs.sqlite")
        for bytes in [100, 200, 300] as [Int64] {
            history.note(code: "a", .init(inputBytes: 1000, memoryBytes: bytes, outputBytes: 1, seconds: 1))
            try Self.save(history)
        }
        #expect(history.need(code: "a", inputBytes: 1000)?.memoryBytes == 300)
        #expect(try Self.need("a", 1000, in: folder + "/needs.sqlite")?.memoryBytes == 300)
    }

    @Test func aBrokenFileIsMadeAnew() throws {
        let folder = Self.folder()
        defer { Self.remove(folder) }
        try Files.makeDirectory(folder)
        let path = folder + "/needs.sqlite"
        try Files.write(path, String(repeating: "garbage ", count: 1000))
        let history = History(path)
        history.note(code: "a", .init(inputBytes: 1, memoryBytes: 2, outputBytes: 3, seconds: 4))
        #expect(try Self.need("a", 1, in: path) == nil)
        try Self.save(history)
        #expect(try Self.need("a", 1, in: path)?.memoryBytes == 2)
    }

    /// What may be in the file's place, or beside it, and whether it is put aside: none of it stops or keeps anybody.
    @Test(arguments: [
        "FIFO", "link", "folder", "two names", "FIFO beside", "link beside", "hole", "other table", "endless",
    ])
    func whatIsNoHistoryIsPutAside(kind: String) throws {
        let folder = Self.folder("aside\(kind.filter(\.isLetter))")
        defer {
            for name in (try? Files.list(folder)) ?? [] { rmdir("\(folder)/\(name)") }
            Self.remove(folder)
        }
        try Files.makeDirectory(folder)
        let path = folder + "/needs.sqlite"
        switch kind {
        case "FIFO": mkfifo(path, 0o600)
        case "link":
            try Files.write(folder + "/other", "precious")
            symlink("other", path)
        case "folder": mkdir(path, 0o700)
        case "two names":
            _ = try SQLite(path).run("create table needs (code)")
            link(path, folder + "/other")
        case "FIFO beside":
            _ = try SQLite(path).run("create table needs (code)")
            mkfifo(path + "-journal", 0o600)
        case "link beside": symlink("/nonexistent/x", path + "-wal")
        case "hole": truncate(path, 0); close(creat(path, 0o600)); truncate(path, 1 << 40)
        case "other table": _ = try SQLite(path).run("create table needs (x)")
        default:
            _ = try SQLite(path).run(
                """
                create view needs as with recursive n(x) as (select 1 union all select x + 1 from n)
                select 'a' as code, 1 as size, x as input_bytes, x as memory_bytes, x as output_bytes, 1.0 as seconds,
                1 as used_at from n
                """)
        }
        let history = History(path)
        #expect(try Self.need("a", 1, in: path) == nil)
        history.note(code: "a", .init(inputBytes: 1, memoryBytes: 2, outputBytes: 3, seconds: 4))
        try Self.save(history)
        #expect(history.takeNotes().contains { $0.contains("anew") }, "\(kind)")
        #expect(try Self.need("a", 1, in: path)?.memoryBytes == 2)
        if kind == "link" { #expect(try Files.read(folder + "/other", bytesMax: 10) == Array("precious".utf8)) }
    }

    @Test func aDatabaseOfSomethingElseAndAFolderOfOthersAreLeftAlone() throws {
        let folder = Self.folder()
        defer { Self.remove(folder) }
        try Files.makeDirectory(folder)
        let path = folder + "/other.sqlite"
        try SQLite(path).run("create table customers (name)")
        let history = History(path)
        history.note(code: "a", .init(inputBytes: 1, memoryBytes: 2, outputBytes: 3, seconds: 4))
        try Self.save(history)
        #expect(history.takeNotes().contains { $0.contains("a database of something else") })
        #expect(try SQLite(path).run("select name from sqlite_schema") == [[.text("customers")]])
        chmod(folder, 0o1777)
        let shared = History(folder + "/needs.sqlite")
        shared.note(code: "a", .init(inputBytes: 1, memoryBytes: 2, outputBytes: 3, seconds: 4))
        try Self.save(shared)
        #expect(shared.takeNotes().contains { $0.contains("others may write to it") && $0.contains("ZERROW_HISTORY") })
        #expect(try Files.list(folder) == ["other.sqlite"] && !History.isPossible(at: folder + "/needs.sqlite"))
    }

    @Test func aPlaceThatCannotBeUsedMeansNoHistory() throws {
        let history = History("/proc/nowhere/needs.sqlite")
        history.note(code: "a", .init(inputBytes: 1, memoryBytes: 2, outputBytes: 3, seconds: 4))
        try Self.save(history)
        #expect(try Self.need("a", 1, in: "/proc/nowhere/needs.sqlite") == nil && history.unwrittenCount == 0)
        #expect(!History.isPossible(at: "/etc/passwd/nowhere/needs.sqlite"))
    }

    @Test func thePlaceIsTheUsersChoice() {
        #expect(History.path(["ZERROW_HISTORY": "", "HOME": "/home/me"]) == nil)
        #expect(History.path(["ZERROW_HISTORY": "/x/y", "HOME": "/home/me"]) == "/x/y")
        #expect(History.path(["HOME": "/home/me"]) == "/home/me/.local/state/zerrow/history.sqlite")
        #expect(History.path(["XDG_STATE_HOME": "/s", "HOME": "/home/me"]) == "/s/zerrow/history.sqlite")
        #expect(History.path([:]) == nil)
    }
}
