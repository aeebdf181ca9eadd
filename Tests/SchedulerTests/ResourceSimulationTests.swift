import Glibc
import Scheduler
import SeededNumbers
import Testing

/// Random engines with several runs, little memory and failing evictions. `ZERROW_RESOURCE_SEED` runs one of them again
/// and prints its trace; `ZERROW_RESOURCE_COUNT` sets how many are run.
@Suite struct ResourceSimulationTests {
    private static let parts: UInt64 = 2

    @Test(arguments: 0..<parts) func everyRandomEngineKeepsTheRules(part: UInt64) {
        if let seed = Self.setting("ZERROW_RESOURCE_SEED") {
            if seed % Self.parts == part { Self.simulate(seed, isTraced: true) }
            return
        }
        let count = Self.setting("ZERROW_RESOURCE_COUNT") ?? 3_000
        var total = ResourceWorld.Result()
        for seed in stride(from: part, to: count, by: Int(Self.parts)) {
            guard let result = Self.simulate(seed, isTraced: false) else { return }
            total.grants += result.grants
            total.kills += result.kills
            total.failedRuns += result.failedRuns
            total.reruns += result.reruns
            total.hungRuns += result.hungRuns
            total.evictions.merge(result.evictions, uniquingKeysWith: +)
        }
        print(total)
        // A generator that makes little trouble would prove little.
        let least = Int(count / Self.parts / 10)
        #expect(total.hungRuns > least, "\(total)")
        #expect(total.kills > least && total.failedRuns > least && total.reruns > least, "\(total)")
        for way in ResourceManager.Way.allCases where way != .limit {
            #expect(total.evictions[way, default: 0] > least, "\(total)")
        }
    }

    /// Many runs that are hardly ever out of asks, and one whose models are large: it isn't passed for ever.
    @Test func noRunStarvesAmongBusyOnes() throws {
        for seed in UInt64(0)..<60 {
            var random = RandomSource(seed: seed)
            var runs: [ResourceWorkload.Run] = []
            for number in 0..<(2 + random.below(4)) {
                let isLarge = number == 0
                var models: [ResourceWorkload.Model] = []
                for index in 0..<(isLarge ? 3 : 60) {
                    let bytes = isLarge ? 60 + random.below(60) : 1 + random.below(30)
                    let isChained = index > 0 && (isLarge || random.once(in: 4))
                    models.append(
                        .init(
                            inputs: isChained ? [index - 1] : [], seconds: 1 + Double(random.below(20)) / 4,
                            expectedBytes: bytes, peakBytes: bytes, tableBytes: random.below(4)))
                }
                runs.append(.init(models: models, isBatch: isLarge ? random.once(in: 2) : random.once(in: 3)))
            }
            var workload = ResourceWorkload(
                runs: runs, limits: .init(memoryBytesMax: 124 + random.below(60), slots: 1 + random.below(6)))
            workload.runs[0].beginsAt = Double(random.below(10))
            var world = ResourceWorld(workload, seed: seed)
            let result = try world.run()
            #expect(result.failedRuns == 0, "seed \(seed)")
            #expect(world.accountant.passedMost < 50, "seed \(seed)")
        }
    }

    /// Models that never end in some runs, and others beside them: whoever isn't stuck itself gets through.
    @Test func modelsThatNeverEndKeepNoOtherRunWaiting() throws {
        for seed in UInt64(0)..<300 {
            var random = RandomSource(seed: seed)
            var workload = ResourceWorkload(runs: [], limits: .init(memoryBytesMax: nil, slots: 1 + random.below(4)))
            let count = 2 + random.below(5)
            let stuck = 1 + random.below(count - 1)
            for number in 0..<count {
                var models: [ResourceWorkload.Model] = []
                for index in 0..<(1 + random.below(8)) {
                    models.append(
                        .init(
                            inputs: index > 0 && random.once(in: 2) ? [index - 1] : [],
                            seconds: 0.5 + Double(random.below(8)), expectedBytes: 10, peakBytes: 10, tableBytes: 5))
                    if number < stuck, random.once(in: 2) { models[index].stall = (random.below(4), nil) }
                }
                workload.runs.append(
                    .init(models: models, isBatch: random.once(in: 3), beginsAt: Double(random.below(20))))
            }
            var world = ResourceWorld(workload, seed: seed)
            let result = try world.run()
            #expect(result.failedRuns == result.hungRuns && result.hungRuns <= stuck, "seed \(seed): \(result)")
        }
    }

    @Test func anEngineIsTheSameWhenItIsRepeated() throws {
        for seed in UInt64(0)..<50 {
            var results: [ResourceWorld.Result] = []
            for _ in 0..<2 {
                var world = Self.world(seed, isTraced: false)
                results.append(try world.run())
            }
            #expect(results[0] == results[1])
        }
    }

    private static func world(_ seed: UInt64, isTraced: Bool) -> ResourceWorld {
        var random = RandomSource(seed: seed)
        let policy: ResourceManager.Policy = random.once(in: 8) ? .leastRecentlyUsed : .adaptive
        return ResourceWorld(
            ResourceWorkload(random: &random), seed: random.next(), policy: policy, isTraced: isTraced)
    }

    @discardableResult
    private static func simulate(_ seed: UInt64, isTraced: Bool) -> ResourceWorld.Result? {
        var world = Self.world(seed, isTraced: isTraced)
        defer {
            if isTraced { print(world.trace.map(\.description).joined(separator: "\n")) }
        }
        do {
            return try world.run()
        } catch {
            Issue.record("seed \(seed): \(error)")
            return nil
        }
    }

    private static func setting(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}
