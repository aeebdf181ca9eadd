import Scheduler
import SeededNumbers

/// What an engine has to do, and with how much: runs, their models, limits, how fast memory moves, and how much goes
/// wrong.
struct ResourceWorkload {
    struct Model {
        /// Indexes below its own.
        var inputs: [Int]
        var seconds: Double
        /// What the history says it needs; may be wrong.
        var expectedBytes: Int
        /// What it needs in truth, with its table.
        var peakBytes: Int
        var tableBytes: Int
        var isFinal = false
        /// Whether its table may be dropped.
        var canRollBack = true
        var memoryBytesMax: Int?
        /// Bytes of a piece that it adds to the cache.
        var pieceBytes = 0
        /// When it stops to get on, as a step of its worker, and for how long; nil for ever.
        var stall: (step: Int, seconds: Double?)?
    }

    struct Run {
        var models: [Model]
        var isBatch = false
        var slots = 8
        var memoryBytesMax: Int?
        var beginsAt = 0.0
    }

    var runs: [Run]
    var limits: ResourceManager.Limits
    var rates = ResourceManager.Rates(
        spillBytesPerSecond: 100, restoreBytesPerSecond: 200, swapOutBytesPerSecond: 80, swapInBytesPerSecond: 40,
        limitBytesPerSecond: 60)
    var ways: Set<ResourceManager.Way> = [.drop, .spill, .swap]
    /// Caches that are there before: bytes and the time to read them again.
    var caches: [(bytes: Int, seconds: Double)] = []
    /// One eviction in so many fails; 0 for none.
    var trouble = 0
    /// One run in so many is cancelled at some time; 0 for none.
    var cancels = 0
    /// Whether the manager is told how long models run.
    var tellsSeconds = true
    /// How much of what a worker leaves behind goes to the pool, in percent.
    var pooledPercent = 0
}

extension ResourceWorkload {
    /// A random one, in which about everything happens.
    init(random: inout RandomSource) {
        let count = random.once(in: 3) ? 1 : 1 + random.below(4)
        let shape = random.below(4)
        var runs: [Run] = []
        for _ in 0..<count {
            var run = Run(models: Self.models(&random, accuracy: shape))
            run.isBatch = random.once(in: 3)
            run.slots = 1 + random.below(4)
            run.beginsAt = Double(random.below(3) * random.below(20))
            runs.append(run)
        }
        let peak = runs.flatMap(\.models).map { $0.peakBytes }.max()!
        // From too little for the largest model alone to plenty.
        func limit() -> Int { max(1, peak * (8 + random.below(40)) / 10) }
        for index in runs.indices where random.once(in: 2) { runs[index].memoryBytesMax = limit() }
        self.init(
            runs: runs,
            limits: .init(
                memoryBytesMax: random.once(in: 4) ? nil : limit(), slots: 1 + random.below(4),
                workerBytesMin: 1 + random.below(3), spilledComesBack: !random.once(in: 4)))
        let sets: [Set<ResourceManager.Way>] = [
            [.drop], [.spill], [.swap], [.drop, .spill], [.drop, .spill, .swap], [.drop, .swap, .limit], [],
        ]
        ways = sets[random.below(sets.count)]
        for _ in 0..<(random.once(in: 3) ? random.below(4) : 0) {
            caches.append((1 + random.below(max(1, peak)), Double(random.below(10))))
        }
        trouble = [0, 0, 3, 10][random.below(4)]
        cancels = random.once(in: 4) ? 3 : 0
        tellsSeconds = random.once(in: 2)
        pooledPercent = random.once(in: 2) ? 0 : random.below(101)
        if random.once(in: 3) { addStalls(&random) }
    }

    /// Some models stop to get on; of some engines so many that they hold all slots, and some of them for ever.
    mutating func addStalls(_ random: inout RandomSource) {
        let rarity = 1 + random.below(6)
        for run in runs.indices where !random.once(in: 3) {
            for model in runs[run].models.indices where random.once(in: rarity) {
                runs[run].models[model].stall = (
                    random.below(4), random.once(in: 2) ? nil : Double(1 + random.below(60)) / 2
                )
            }
        }
    }

    private static func models(_ random: inout RandomSource, accuracy: Int) -> [Model] {
        let size = random.once(in: 10) ? 8 + random.below(12) : 1 + random.below(9)
        var models: [Model] = []
        for index in 0..<size {
            var inputs: [Int] = []
            if index > 0, !random.once(in: 4) {
                for _ in 0..<(1 + random.below(2)) { inputs.append(max(0, index - 1 - random.below(4))) }
            }
            let tableBytes = random.below(60)
            let peakBytes = tableBytes + random.below(random.once(in: 5) ? 100 : 40)
            let percent = [100, 100 + random.below(60), 30 + random.below(170), random.below(300)][accuracy]
            models.append(
                Model(
                    inputs: inputs, seconds: 0.5 + Double(random.below(40)) / 4,
                    expectedBytes: peakBytes * percent / 100, peakBytes: peakBytes, tableBytes: tableBytes,
                    isFinal: random.once(in: 8), canRollBack: !random.once(in: 10),
                    memoryBytesMax: random.once(in: 12) ? peakBytes + random.below(20) - 5 : nil,
                    pieceBytes: inputs.isEmpty && random.once(in: 5) ? random.below(peakBytes - tableBytes + 1) : 0))
            models[index].memoryBytesMax = models[index].memoryBytesMax.map { max(1, $0) }
        }
        return models
    }
}
