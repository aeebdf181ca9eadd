import Scheduler
import Store
import System
import Testing

@testable import Engine

@Suite struct TableRegistryTests {
    /// Users as the engine has them: one run, whose models can do without their tables or not.
    private final class Users: TableUsers {
        var runs: Set<Int> = [1]
        var canDrop = true
        /// How many questions about models were asked.
        var asked = 0
        var lost: [String] = []
        var gone: [ResourceManager.TableKey] = []

        func isRunning(_ model: ResourceManager.ModelKey) -> Bool {
            asked += 1
            return runs.contains(model.run)
        }
        func canDrop(_ model: ResourceManager.ModelKey) -> Bool {
            asked += 1
            return canDrop
        }
        func secondsToMake(_ model: ResourceManager.ModelKey) -> Double { Double(model.model) }
        func grantsUntilRead(_ model: ResourceManager.ModelKey) -> Int? { model.model }
        func lose(_ table: TableID, _ holder: TableHolding.Holder) { lost.append("\(holder)") }
        func gone(_ table: TableID, key: ResourceManager.TableKey, isKnown: Bool) { gone.append(key) }
        func note(once kind: String, _ error: any Error) { Issue.record("\(kind): \(error)") }
    }

    private let store = SegmentStore(lock: .sealed, poolBytesMax: 0)
    private let users = Users()
    private let registry: TableRegistry

    init() {
        registry = TableRegistry(store, ways: [.drop, .spill, .swap])
        registry.users = users
    }

    private func publish(bytes: Int = 4 << 20, by name: String) throws -> TableID {
        let worker = BorrowerID(rawValue: name)
        let output = try store.makeOutputSegment(bytes: bytes, for: worker)
        let content = [UInt8](repeating: 7, count: bytes)
        try content.withUnsafeBytes { try output.file.descriptor.writeAll($0, at: 0) }
        var references = References()
        try references.add(output.id, offset: 0, length: UInt64(bytes))
        let descriptor = DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", [1, 2, 3]))
        defer { try? store.end(worker) }
        return try store.publish(by: worker, tables: [.init(descriptor: descriptor, references: references)])[0]
    }

    private func changes() -> [ResourceManager.TableKey: ResourceManager.TableFacts] {
        Dictionary(uniqueKeysWithValues: registry.changedFacts { 1 << 40 }.map { ($0.key, $0.facts) })
    }

    @Test func aTableEndsWithItsLastHolder() throws {
        let table = try publish(by: "w1")
        registry.add(table, by: .run(1, model: 2), seconds: 3)
        registry.retain(table, by: .result("key"))
        try registry.release(table, by: .run(1, model: 2))
        #expect(registry[table] != nil && users.gone.isEmpty)
        try registry.release(table, by: .result("key"))
        #expect(registry[table] == nil && users.gone == [.table(run: 1, model: 2)])
        #expect(try store.usage().residentBytes == 0)
    }

    @Test func anEvictedTableIsForgottenByEachHolderOnce() throws {
        let table = try publish(by: "w1")
        registry.add(table, by: .result("key"), seconds: 3)
        registry.retain(table, by: .piece)
        registry.evict(table, from: .piece)
        registry.evict(table, from: .piece)
        registry.evict(table, from: .result("key"))
        registry.evict(table, from: .result("key"))
        #expect(users.lost.count == 2 && users.gone.count == 1)
    }

    @Test func factsAreToldWhenTheyHaveChanged() throws {
        let table = try publish(by: "w1")
        registry.add(table, by: .run(1, model: 2), seconds: 3)
        let facts = try #require(changes()[.table(run: 1, model: 2)])
        #expect(facts.bytes == 4 << 20 && facts.owner == 1 && facts.nextUse == 2 && facts.recomputeSeconds == 2)
        #expect(changes().isEmpty)
        registry.noteChange(of: table)
        #expect(changes().isEmpty, "nothing is another than it was")
        users.canDrop = false
        registry.noteChange(of: table)
        #expect(changes()[.table(run: 1, model: 2)]?.ways == [.spill, .swap])
    }

    @Test func onlyTablesOfWhichSomethingMayHaveChangedAreLookedAt() throws {
        let tables = try (0..<40).map { try publish(bytes: 1 << 12, by: "w\($0)") }
        for (model, table) in tables.enumerated() { registry.add(table, by: .run(1, model: model), seconds: 1) }
        #expect(changes().count == 40)
        users.asked = 0
        _ = store.lend(tables[7], to: "reader")
        #expect(changes().keys.sorted() == [.table(run: 1, model: 7)])
        try store.end("reader")
        #expect(changes().keys.sorted() == [.table(run: 1, model: 7)])
        #expect(users.asked <= 8, "no question is asked about the others")
        // What nobody tells of is found in turn.
        users.canDrop = false
        for _ in 0..<4 { registry.noteSome(10) }
        #expect(changes().count == 40)
    }

    @Test func aTableOfARunThatIsOverIsNobodysAndKeepsItsPrice() throws {
        let table = try publish(by: "w1")
        registry.add(table, by: .result("key"), seconds: 3)
        registry.retain(table, by: .run(9, model: 0))
        let facts = try #require(changes()[registry.key(of: table)])
        #expect(facts.owner == nil && facts.recomputeSeconds == 3 && facts.nextUse == nil)
    }

    @Test func aTableThatMovesIsNotToldOf() throws {
        let table = try publish(by: "w1")
        registry.add(table, by: .run(1, model: 0), seconds: 3)
        registry.setPlace(.moving, of: table)
        #expect(changes().isEmpty)
        registry.setPlace(.swapped, of: table)
        #expect(changes()[.table(run: 1, model: 0)]?.residentBytes == .some(nil))
    }

    @Test func aTableThatIsMadeAgainWhileACacheHasTheFirstHasAnotherName() throws {
        let first = try publish(by: "w1")
        registry.add(first, by: .run(1, model: 0), seconds: 3)
        registry.retain(first, by: .result("key"))
        try registry.release(first, by: .run(1, model: 0))
        let second = try publish(by: "w2")
        registry.add(second, by: .run(1, model: 0), seconds: 3)
        #expect(
            registry.key(of: first) == .table(run: 1, model: 0) && registry.key(of: second) != .table(run: 1, model: 0))
        #expect(registry[.table(run: 1, model: 0)]?.table == first)
    }
}
