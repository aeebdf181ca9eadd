import Scheduler
import Store
import System
import Testing

@testable import Engine

@Suite struct RunTablesTests {
    private let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
    private let registry: TableRegistry
    private let tables: RunTables

    init() {
        registry = TableRegistry(store, ways: [])
        tables = RunTables(registry, run: 7)
    }

    private func publish(by name: String) throws -> TableID {
        let worker = BorrowerID(rawValue: name)
        let output = try store.makeOutputSegment(bytes: 1 << 20, for: worker)
        try [UInt8](repeating: 7, count: 4096).withUnsafeBytes { try output.file.descriptor.writeAll($0, at: 0) }
        var references = References()
        try references.add(output.id, offset: 0, length: 4096)
        let descriptor = DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", [1, 2, 3]))
        defer { try? store.end(worker) }
        return try store.publish(by: worker, tables: [.init(descriptor: descriptor, references: references)])[0]
    }

    @Test func aTableThatWasMadeIsTheRunsUntilItReleasesIt() throws {
        let table = try publish(by: "w1")
        tables.add(table, of: 2, seconds: 1, cgroup: nil)
        #expect(tables[2] == table && registry[table]?.models == [.init(7, 2)] && registry[table]?.maker == .init(7, 2))
        try tables.release(of: 2)
        #expect(tables[2] == nil && registry[table] == nil)
    }

    @Test func aTableThatWasFoundStaysWithItsOtherHolders() throws {
        let table = try publish(by: "w1")
        registry.add(table, by: .result("key"), seconds: 1)
        tables.retain(table, of: 0)
        tables.retain(table, of: 1)
        #expect(registry[table]?.holders == [.result("key"), .run(7, model: 0), .run(7, model: 1)])
        try tables.release(of: 0)
        #expect(tables[0] == nil && tables[1] == table)
        // The table of the other model is dropped: the registry has released it for the run.
        registry.evict(table, from: .run(7, model: 1))
        tables.forget(1)
        #expect(tables[1] == nil && registry[table]?.holders == [.result("key")])
    }

    @Test func theFirstFileThatWasChangedIsTheOneToTellOf() {
        #expect(tables.changedFile == nil && tables.noteChange(of: "a.py"))
        #expect(!tables.noteChange(of: "b.py") && tables.changedFile == "a.py")
    }

    // MARK: Exports

    /// Gives a table to an export of a file that can't be written: it has no content that is Arrow's.
    private func export(_ exports: TableExports, _ model: Int, then: @escaping (ExportWork.Outcome?) -> Void) throws {
        tables.add(try publish(by: "w\(model)"), of: model, seconds: 1, cgroup: nil)
        exports.begin(tables[model]!, of: model, to: "/dev/null/\(model).arrows", then: then)
    }

    @Test func anExportIsOverWhenItIsDone() throws {
        let background = try BackgroundWork()
        let exports = TableExports(store, background, run: 7)
        var outcome: ExportWork.Outcome?
        try export(exports, 0) { outcome = $0 }
        #expect(!exports.isEmpty)
        background.drain([.export], until: .max)
        guard case .failed = outcome else { return #expect(Bool(false), "\(String(describing: outcome))") }
        #expect(exports.isEmpty && exports.abandon().isEmpty)
    }

    @Test func oneThatIsGivenUpIsStillToldOfWhenItsTableIsFree() throws {
        let background = try BackgroundWork()
        let exports = TableExports(store, background, run: 7)
        var ends = 0
        for model in [3, 1] {
            try export(exports, model) {
                #expect($0 == nil)
                ends += 1
            }
        }
        exports.stop()
        #expect(exports.abandon() == [1, 3] && exports.isEmpty)
        background.drain([.export], until: .max)
        #expect(ends == 2)
    }
}
