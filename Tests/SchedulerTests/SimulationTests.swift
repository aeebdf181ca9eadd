import Glibc
import Scheduler
import Testing

/// Random runs against the oracle. `ZERROW_SIMULATION_SEED` runs one workload again and prints its trace;
/// `ZERROW_SIMULATION_COUNT` sets how many are run.
@Suite struct SimulationTests {
    private static let parts: UInt64 = 4

    @Test(arguments: 0..<parts) func everyRandomRunKeepsTheInvariants(part: UInt64) {
        if let seed = Self.setting("ZERROW_SIMULATION_SEED").flatMap(UInt64.init) {
            if seed % Self.parts == part {
                Self.simulate(seed, printsTrace: true)
            }
            return
        }
        let count = Self.setting("ZERROW_SIMULATION_COUNT").flatMap(UInt64.init) ?? 20_000
        var statuses: [Scheduler.Outcome.Status: Int] = [:]
        var counts = World.Counts()
        for seed in stride(from: part, to: count, by: Int(Self.parts)) {
            guard let (outcome, seen) = Self.simulate(seed, printsTrace: false) else {
                return
            }
            statuses[outcome.status, default: 0] += 1
            counts += seen
        }
        print("\(counts)")
        // A generator that only ever makes one kind of run would prove little.
        for status in [Scheduler.Outcome.Status.success, .failed, .cancelled] {
            #expect(statuses[status, default: 0] > count / Self.parts / 20, "\(statuses)")
        }
        #expect(counts.least > Int(count / Self.parts) / 40, "\(counts)")
    }

    @Test func aRunIsTheSameWhenItIsRepeated() throws {
        for seed in UInt64(0)..<200 {
            let first = World(seed: seed)
            let second = World(seed: seed)
            #expect(try first.run() == second.run())
            #expect(first.trace == second.trace)
        }
    }

    @discardableResult
    private static func simulate(_ seed: UInt64, printsTrace: Bool) -> (Scheduler.Outcome, World.Counts)? {
        let world = World(seed: seed)
        defer {
            if printsTrace {
                print(text(world.trace[...]))
            }
        }
        do {
            return (try world.run(), world.counts)
        } catch {
            Issue.record("seed \(seed): \(error)\n\(text(world.trace.suffix(12)))")
            return nil
        }
    }

    private static func text(_ trace: ArraySlice<World.Entry>) -> String {
        trace.map(\.description).joined(separator: "\n")
    }

    private static func setting(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }
}
