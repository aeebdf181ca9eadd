import Glibc
import SIPC
import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes

@Suite struct ExportTests {
    private static func withFolder(_ name: String = #function, _ body: (String) throws -> Void) throws {
        let folder =
            "/tmp/zerrow-export-\(getpid())-\(name.prefix { $0.isLetter })-\(UInt64.random(in: 0...UInt64.max))"
        try Files.makeDirectory(folder)
        defer {
            for name in (try? Files.list(folder)) ?? [] { unlink("\(folder)/\(name)") }
            rmdir(folder)
        }
        try body(folder)
    }

    private let columns = [0..<800_000, huge..<huge + 800_000]

    @Test(arguments: everyLock) func aTableThatIsReleasedMeanwhileIsWrittenAsItWas(lock: Lock) throws {
        try Self.withFolder { folder in
            let store = SegmentStore(lock: lock, poolBytesMax: 0)
            let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
            let expected = try store.stream(of: table)
            let path = folder + "/t.arrows"
            let work = store.beginExport(table, to: path)
            try store.release(table)
            #expect(store.contains(table), "it is pinned")
            guard case .written = work.write() else { throw StoreError(.unsuitable, nil, "it was not written") }
            store.finishExport(work)
            #expect(!store.contains(table))
            let isTheSame = try same(Files.read(path, bytesMax: 1 << 24), expected)
            #expect(isTheSame)
            #expect(try Files.list(folder) == ["t.arrows"])
        }
    }

    @Test func oneThatIsStoppedLeavesNothing() throws {
        try Self.withFolder { folder in
            let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
            let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
            let work = store.beginExport(table, to: folder + "/t.arrows")
            work.stop()
            guard case .stopped = work.write() else { throw StoreError(.unsuitable, nil, "it was not stopped") }
            store.finishExport(work)
            #expect(try Files.list(folder).isEmpty)
        }
    }

    @Test func aFolderThatIsGoneIsAFailureThatNamesIt() throws {
        let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
        let table = try store.publishColumns(columns, bytes: 4 * huge, by: "w1")
        let work = store.beginExport(table, to: "/nonexistent/t.arrows")
        guard case .failed(let reason) = work.write() else { throw StoreError(.unsuitable, nil, "it did not fail") }
        #expect(reason.contains("/nonexistent"))
        store.finishExport(work)
        try store.release(table)
        #expect(try store.usage().tables == 0)
    }
}
