import Glibc
import Synchronization
import System
import Testing

@testable import Catalog

@Suite struct FolderCatalogTests {
    private static let names = ["shop.sales", "shop.customers"].map { TableName($0)! }

    /// A warehouse of one test's own, on a disk.
    private final class Warehouse {
        let catalog: FolderCatalog

        init(_ name: String = #function) throws {
            let path = Path.parent(CommandLine.arguments[0]) + "/catalog-\(getpid())-\(name.prefix { $0.isLetter })"
            catalog = FolderCatalog(path)
        }

        deinit { Self.remove(catalog.place) }

        private static func remove(_ path: String) {
            for name in (try? Files.list(path)) ?? [] {
                let entry = "\(path)/\(name)"
                if Files.isFolder(entry) { remove(entry) } else { unlink(entry) }
            }
            rmdir(path)
        }
    }

    /// Publishes a row to each of some tables, all together.
    private static func append(
        to tables: [TableName], _ catalog: FolderCatalog, _ strategy: TableChange.Strategy = .append,
        isWanted: @escaping () -> Bool = { true }
    ) throws {
        let changes = tables.map { table in
            TableChange(
                table, strategy, fields: [Field(name: "a", type: "int64")],
                files: [DataFile(path: "", rows: 1, bytes: 0)])
        }
        let files = try tables.map { _ in
            let made = try catalog.makeFiles(1)
            try made[0].file.descriptor.writeAll([1, 2, 3], at: 0)
            return made
        }
        _ = try catalog.commit(changes, files, isWanted: isWanted)
    }

    /// Whether each file of the state is there, and both tables have as many rows.
    private static func rows(_ catalog: FolderCatalog) throws -> Int64 {
        let state = try catalog.read().state
        for file in state.tables.values.flatMap(\.files) {
            #expect(Files.isRegular("\(catalog.place)/\(file.path)"))
            #expect(file.bytes == 3)
        }
        let rows = names.map { state.tables[$0]?.rows ?? 0 }
        #expect(rows[0] == rows[1], "a commit of two tables is seen by half")
        return rows[0]
    }

    private static func dataFiles(_ catalog: FolderCatalog) -> Set<String> {
        var found: Set<String> = []
        for table in names {
            let place = table.folders.joined(separator: "/")
            for name in (try? Files.list("\(catalog.place)/\(place)")) ?? [] { found.insert("\(place)/\(name)") }
        }
        return found
    }

    /// Whichever system call fails, the catalog is as it was or as it was to be, and the next commit takes away what was left.
    @Test(
        arguments: [
            "open", "open(O_TMPFILE)", "linkat", "rename", "fdatasync", "fsync", "flock", "pwrite", "pread", "stat",
            "mkdir",
            "unlink", "opendir",
        ] as [SystemCall]) func whateverFailsTheCatalogIsWhole(call: SystemCall) throws
    {
        let warehouse = try Warehouse("fails\(call.rawValue.filter(\.isLetter))")
        let catalog = warehouse.catalog
        try Self.append(to: Self.names, catalog)
        var expected: Int64 = 1
        for occurrence in 1...30 {
            let plan = FaultPlan(call, occurrence: occurrence, errno: EIO)
            var failure = ""
            do {
                try plan.apply { try Self.append(to: Self.names, catalog) }
            } catch {
                failure = "\(error)"
            }
            if plan.fired.isEmpty { break }
            let rows = try Self.rows(catalog)
            #expect(rows == (failure.isEmpty ? expected + 1 : expected), "\(failure)")
            expected = rows
        }
        try Self.append(to: Self.names, catalog)
        let known = try catalog.read().state.tables.values.flatMap(\.files).map(\.path)
        #expect(Self.dataFiles(catalog) == Set(known), "orphans of \(call) stay")
    }

    @Test func commitsOfManyThreadsAreAllThere() throws {
        let warehouse = try Warehouse()
        let catalog = warehouse.catalog
        let failures = Mutex<[String]>([])
        let threads = (0..<6).map { _ in
            Worker {
                for _ in 0..<10 {
                    do { try Self.append(to: Self.names, catalog) } catch {
                        failures.withLock { $0.append("\(error)") }
                    }
                }
            }
        }
        for _ in 0..<20 { _ = try Self.rows(catalog) }
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 } == [])
        #expect(try Self.rows(catalog) == 60)
        #expect(try catalog.read().state.version == 60)
    }

    @Test func replacedFilesStayAsLongAsSomebodyReadsThem() throws {
        let warehouse = try Warehouse()
        let catalog = warehouse.catalog
        try Self.append(to: Self.names, catalog, .replace)
        let old = Self.dataFiles(catalog)
        var snapshot: CatalogSnapshot? = try catalog.read()
        for _ in 0..<3 { try Self.append(to: Self.names, catalog, .replace) }
        #expect(old.isSubset(of: Self.dataFiles(catalog)))
        #expect(snapshot?.pin != nil)
        snapshot = nil
        try Self.append(to: Self.names, catalog, .replace)
        let known = try catalog.read().state.tables.values.flatMap(\.files).map(\.path)
        #expect(Self.dataFiles(catalog) == Set(known))
    }

    @Test func whatIsNotWantedAnyMoreIsNotPublished() throws {
        let warehouse = try Warehouse()
        let error = #expect(throws: CatalogError.self) {
            try Self.append(to: Self.names, warehouse.catalog, isWanted: { false })
        }
        #expect(error?.kind == .stopped)
        #expect(try Self.rows(warehouse.catalog) == 0 && Self.dataFiles(warehouse.catalog).isEmpty)
    }
}

/// A thread that can be waited for.
private final class Worker {
    private let thread: pthread_t

    init(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(Body(body))
        pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue().run()
                return nil
            }, box.toOpaque())
        self.thread = thread
    }

    func join() { pthread_join(thread, nil) }

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}
