import Glibc
import Scheduler
import SeededNumbers
import Testing

/// Compares ways to choose what is evicted, over workloads with too little memory. Deterministic; prints its tables.
/// `ZERROW_STUDY_COUNT` sets how many workloads there are of each kind, `ZERROW_STUDY_SIZE` how many models they have
/// for the oracle.
@Suite struct ResourceStudyTests {
    /// How long a table takes to compute, as a multiple of the time to spill it and read it back.
    enum Kind: String, CaseIterable {
        case cheap = "recomputing costs 0.2 of spilling"
        case equal = "recomputing costs the same"
        case dear = "recomputing costs 5 times as much"
        case mixed = "each model one of the three"

        func factor(_ random: inout RandomSource) -> Double {
            switch self {
            case .cheap: 0.2
            case .equal: 1
            case .dear: 5
            case .mixed: [0.2, 1, 5][random.below(3)]
            }
        }
    }

    struct Contender {
        let name: String
        let ways: Set<ResourceManager.Way>
        var policy = ResourceManager.Policy.adaptive
    }

    static let adaptive = Contender(name: "adaptive", ways: [.drop, .spill, .swap])
    static let fixed = [
        Contender(name: "drop only", ways: [.drop]),
        Contender(name: "spill only", ways: [.spill]),
        Contender(name: "swap only", ways: [.swap]),
        Contender(name: "spill, least recently used", ways: [.spill], policy: .leastRecentlyUsed),
    ]

    private static let count = setting("ZERROW_STUDY_COUNT") ?? 20
    private static let oracleSize = setting("ZERROW_STUDY_SIZE") ?? 6

    private static func setting(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

    /// A run whose memory is from just enough for its largest model up to twice that.
    static func workload(_ kind: Kind, seed: Int, size: Int) -> ResourceWorkload {
        var random = RandomSource(seed: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(size))
        var models: [ResourceWorkload.Model] = []
        for index in 0..<size {
            var inputs = Set<Int>()
            if index > 0, !random.once(in: 5) {
                inputs.insert(index - 1)
                // Most tables are read again much later.
                if !random.once(in: 3) { inputs.insert(random.below(max(1, index / 2))) }
            }
            let bytes = 100 + random.below(500)
            let roundTrip = Double(bytes) * (1 / 100 + 1 / 200)
            let peak = bytes + random.below(200)
            models.append(
                ResourceWorkload.Model(
                    inputs: inputs.sorted(), seconds: roundTrip * kind.factor(&random), expectedBytes: peak,
                    peakBytes: peak, tableBytes: bytes))
        }
        let read = Set(models.flatMap(\.inputs))
        for index in models.indices where !read.contains(index) { models[index].tableBytes = 1 }
        let largest = models.map { model in model.inputs.reduce(model.peakBytes) { $0 + models[$1].tableBytes } }.max()!
        return ResourceWorkload(
            runs: [.init(models: models)],
            limits: .init(memoryBytesMax: largest * (100 + random.below(30)) / 100 + size, slots: 2))
    }

    /// How long a workload takes, as a multiple of the time it takes with memory enough. Nil if it fails.
    private static func slowdown(
        _ workload: ResourceWorkload, _ contender: Contender, ways: [[Set<ResourceManager.Way>]]? = nil
    ) throws -> Double? {
        var generous = workload
        generous.limits.memoryBytesMax = nil
        var best = ResourceWorld(generous)
        var workload = workload
        workload.ways = contender.ways
        var world = ResourceWorld(workload, policy: contender.policy)
        world.ways = ways
        let result = try world.run()
        return result.failedRuns > 0 ? nil : result.seconds / (try best.run().seconds)
    }

    @Test func adaptiveIsAsGoodAsTheBestFixedWay() throws {
        let contenders = Self.fixed + [Self.adaptive]
        var sums = contenders.map { _ in 0.0 }
        var failures = contenders.map { _ in 0 }
        for kind in Kind.allCases {
            var means = contenders.map { _ in 0.0 }
            for seed in 0..<Self.count {
                let workload = Self.workload(kind, seed: seed, size: seed.isMultiple(of: 2) ? 12 : 24)
                let slowdowns = try contenders.map { try Self.slowdown(workload, $0) }
                for index in contenders.indices {
                    failures[index] += slowdowns[index] == nil ? 1 : 0
                    means[index] += (slowdowns[index] ?? .infinity) / Double(Self.count)
                }
            }
            for index in means.indices { sums[index] += means[index] / Double(Kind.allCases.count) }
            Self.print(kind.rawValue, contenders, means)
            #expect(means.last! <= means.dropLast().min()! * 1.03, "\(kind.rawValue): \(means)")
        }
        Self.print("all", contenders, sums)
        let workloads = Double(Self.count * Kind.allCases.count)
        Self.print("runs that failed", contenders, failures.map { Double($0) / workloads })
        #expect(sums.last! < sums.dropLast().min()!, "\(sums)")
        #expect(failures.last == 0)
    }

    /// Tries all ways in which each table could go, or stay, for the whole run, and takes the best: so it knows the
    /// future. Swapping is left out: it is slower than spilling here.
    @Test func adaptiveIsNearToWhoKnowsTheFuture() throws {
        var sums = (adaptive: 0.0, oracle: 0.0)
        for kind in Kind.allCases {
            var means = (adaptive: 0.0, oracle: 0.0)
            let count = max(1, Self.count / 10)
            var seed = 1000
            var compared = 0
            while compared < count {
                seed += 1
                let workload = Self.workload(kind, seed: seed, size: Self.oracleSize)
                let slowdown = try #require(try Self.slowdown(workload, Self.adaptive))
                // Where nothing had to wait or give way, there is nothing to know.
                guard slowdown > 1 else { continue }
                compared += 1
                means.adaptive += slowdown / Double(count)
                means.oracle += try Self.oracle(workload) / Double(count)
            }
            let name = Contender(name: "oracle", ways: [])
            Self.print(kind.rawValue, [Self.adaptive, name], [means.adaptive, means.oracle])
            sums.adaptive += means.adaptive
            sums.oracle += means.oracle
        }
        #expect(sums.adaptive <= sums.oracle * 1.1)
    }

    private static func oracle(_ workload: ResourceWorkload) throws -> Double {
        let models = workload.runs[0].models
        let choices: [Set<ResourceManager.Way>] = [[.drop], [.spill], []]
        let read = Set(models.flatMap(\.inputs)).sorted()
        var best = Double.infinity
        var combination = read.map { _ in 0 }
        while true {
            var ways = models.map { _ in Set<ResourceManager.Way>() }
            for (index, model) in read.enumerated() { ways[model] = choices[combination[index]] }
            for tells in [true, false] {
                var workload = workload
                workload.tellsSeconds = tells
                if let slowdown = try slowdown(workload, adaptive, ways: [ways]) { best = min(best, slowdown) }
            }
            guard let next = combination.firstIndex(where: { $0 + 1 < choices.count }) else { return best }
            combination[next] += 1
            for index in 0..<next { combination[index] = 0 }
        }
    }

    private static func print(_ title: String, _ contenders: [Contender], _ means: [Double]) {
        let cells = zip(contenders, means).map { "\($0.name) \(String(($1 * 1000).rounded() / 1000))" }
        Swift.print("| \(title) | \(cells.joined(separator: " | ")) |")
    }
}
