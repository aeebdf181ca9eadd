import Glibc
import Store
import System
import Testing

private let huge = Machine.hugePageBytes

/// Each system call of an operation fails once. They run in processes of their own, where nobody else opens descriptors.
@Suite struct FaultTests {
    @Test func anyCallOfPublishMayFail() async {
        await #expect(processExitsWith: .success) {
            for lock in everyLock { Scenario.run { try Scenario.everyCallOfPublishFailsOnce(lock) } }
        }
    }

    @Test func anyCallThatMakesAnOutputMayFail() async {
        await #expect(processExitsWith: .success) {
            for lock in everyLock { Scenario.run { try Scenario.everyCallOfMakingAnOutputFailsOnce(lock) } }
        }
    }

    @Test func memoryThatCouldNotBeGivenBackGoesWithTheNextRelease() throws {
        let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 4 * huge)
        try producer.write(0..<4 * huge, 1)
        let whole = try store.publish(
            by: "w1", descriptor: anyDescriptor(), references: producer.references([0..<4 * huge]))
        let parts = try (0..<2).map { number in
            let worker = BorrowerID(rawValue: "reader\(number)")
            _ = try Producer(store, worker)
            _ = store.lend(whole, to: worker)
            var references = References()
            try references.add(producer.output.id, [number * huge..<(number + 1) * huge])
            let table = try store.publish(by: worker, descriptor: anyDescriptor(), references: references)
            try store.end(worker)
            return table
        }
        let error = #expect(throws: StoreError.self) {
            try FaultPlan(.punchHole, errno: ENOMEM).apply { try store.release(whole) }
        }
        #expect(error?.code == .system && error?.segment == producer.output.id && error?.underlying?.errno == ENOMEM)
        #expect(!store.contains(whole))
        #expect(try store.usage().residentBytes == 4 * huge)
        try store.release(parts[0])
        #expect(try store.usage().residentBytes == huge)
    }
}

/// What a process of its own runs; it throws when something is not as it has to be.
private enum Scenario {
    struct Failure: Error { let message: String }

    /// An error that leaves the process would only be seen as a crash.
    static func run(_ body: () throws -> Void) {
        do { try body() } catch { Issue.record("\(error)") }
    }

    static func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        if !condition { throw Failure(message: message()) }
    }

    /// How many descriptors of memory files are open; the test library opens others as it pleases.
    static func openDescriptors() throws -> Int {
        try Files.list("/proc/self/fd").count { name in
            var target = [CChar](repeating: 0, count: 256)
            let count = readlink("/proc/self/fd/\(name)", &target, target.count)
            return count > 0
                && String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
                    .hasPrefix("/memfd:")
        }
    }

    static let ranges = [100..<5000, huge + 70_000..<2 * huge - 80_000]

    static func publish(_ lock: Lock, under plan: FaultPlan) throws -> (before: Int, error: StoreError?) {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 4 * huge)
        try producer.write(0..<3 * huge, 0x55)
        let references = try producer.references(ranges)
        let descriptor = try anyDescriptor()
        let before = try openDescriptors()
        do throws(StoreError) {
            _ = try plan.apply { () throws(StoreError) in
                try store.publish(by: "w1", descriptor: descriptor, references: references)
            }
            return (before, nil)
        } catch {
            try expect(openDescriptors() == before, "\(error): a descriptor leaked")
            try expect(store.usage().tables == 0, "\(error): a table was published")
            // Nothing half-done is in the way of trying again, unless the file is sealed already.
            let isSealed = try producer.output.file.descriptor.seals() == .all
            if !isSealed {
                let table = try store.publish(by: "w1", descriptor: descriptor, references: references)
                let seen = try visible(store.lend(table, to: "r").segments[0].file, bytes: 4 * huge)
                try expect(
                    same(seen, masked(producer.content, ranges)), "\(error): a second try published something else")
                try store.release(table)
                try store.end("r")
            }
            try store.end("w1")
            try expect(store.usage().segments == 0, "\(error): the output was not dropped")
            return (before, error)
        }
    }

    static func everyCallOfPublishFailsOnce(_ lock: Lock) throws {
        let start = try openDescriptors()
        let record = FaultPlan()
        try expect(publish(lock, under: record).error == nil, "publish fails without a fault")
        let calls = record.calls
        let expected: Set<SystemCall> = [.status, .getSeals, .punchHole, .seek, .map, .open]
        try expect(expected.isSubset(of: calls), "publish makes other calls than this test is about: \(calls)")
        try expect(calls.contains(.addSeals) == (lock == .sealed), "sealing goes with its lock")
        var counts: [SystemCall: Int] = [:]
        for (index, call) in calls.enumerated() {
            counts[call, default: 0] += 1
            let plan = FaultPlan(call, occurrence: counts[call] ?? 0, errno: EIO)
            let error = try publish(lock, under: plan).error
            try expect(plan.fired.count == 1, "call \(index), \(call), was not made")
            // The peak is a figure for people: a failure to measure it is no failure to publish.
            if error == nil, call == .status { continue }
            try expect(error?.code == .system, "call \(index), \(call), failed and publish did not")
            try expect(error?.segment != nil && error?.underlying?.operation == call, "the error does not name \(call)")
        }
        try expect(openDescriptors() == start, "a descriptor leaked in the end")
    }

    static func everyCallOfMakingAnOutputFailsOnce(_ lock: Lock) throws {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        let start = try openDescriptors()
        for call: SystemCall in [.createMemory, .truncate, .changeMode] {
            let plan = FaultPlan(call, errno: ENOMEM)
            var failure: StoreError?
            do throws(StoreError) {
                _ = try plan.apply { () throws(StoreError) in try store.makeOutputSegment(bytes: huge, for: "w1") }
            } catch {
                failure = error
            }
            try expect(failure?.underlying?.operation == call, "making an output does not fail with \(call)")
            try expect(openDescriptors() == start, "\(call): a descriptor leaked")
            try expect(store.usage().segments == 0, "\(call): a segment is there")
        }
        // The worker may ask again.
        _ = try store.makeOutputSegment(bytes: huge, for: "w1")
        try store.end("w1")
    }
}
