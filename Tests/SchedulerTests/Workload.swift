import Scheduler
import SeededNumbers

/// A random run: its graph, its settings, and how much goes wrong in it.
struct Workload {
    let graph: Scheduler.Graph
    /// How many models may be granted at once.
    let slots: Int
    let workersAhead: Int
    let failurePolicy: Scheduler.FailurePolicy
    /// One in so many chances goes wrong; 0 for never.
    let trouble: Int
    /// One in so many workers has too little memory; 0 for never.
    let shortage: Int
    /// One in so many chances a table is dropped; 0 for never.
    let drops: Int
    /// One in so many chances a table is found for which a model asks.
    let finds: Int
    /// One in so many chances a table is handed over while its worker lives; 0 for never.
    let handOvers: Int
    /// How many tables are dropped at most.
    let dropsMax: Int
    /// Whether asks are answered at once, or after other things have happened.
    let isAnsweredAtOnce: Bool
    /// One in so many steps the user cancels; 0 for never.
    let cancels: Int
    /// Which of the things that may happen next does.
    let order: Order

    enum Order: CaseIterable {
        case any, oldest, newest
    }

    init(random: inout RandomSource) {
        let size = random.once(in: 40) ? 40 + random.below(40) : random.below(14)
        let environments = 1 + random.below(3)
        let density = 1 + random.below(4)
        let cached = [0, 0, 3, 8][random.below(4)]
        let pinned = [0, 0, 4][random.below(3)]
        let findable = [0, 0, 3][random.below(3)]
        var models: [Scheduler.Model] = []
        for index in 0..<size {
            var inputs: [Int] = []
            if index > 0, !random.once(in: 4) {
                for _ in 0..<(1 + random.below(density)) {
                    let near = random.once(in: 2) ? max(0, index - 3) : 0
                    inputs.append(near + random.below(index - near))
                }
                if random.once(in: 6) {
                    inputs.append(inputs[0])
                }
            }
            models.append(
                Scheduler.Model(
                    inputs: inputs, environment: "e\(random.below(environments))", isFinal: random.once(in: 8),
                    expectedTime: random.once(in: 3) ? .milliseconds(random.below(1000)) : nil,
                    isCached: random.once(in: cached), mayBeFound: random.once(in: findable),
                    canRollBack: !random.once(in: pinned)))
        }
        let read = Set(models.flatMap(\.inputs))
        for index in 0..<size where !read.contains(index) {
            models[index].isFinal = !random.once(in: 10)
            if random.once(in: 3) {
                models.append(Scheduler.Model(inputs: [index], environment: "e0", role: .preview))
            }
        }
        graph = Self.shuffled(models, &random)
        slots = 1 + random.below(4)
        workersAhead = random.once(in: 2) ? 0 : random.below(4)
        failurePolicy = random.once(in: 2) ? .stop : .keepGoing
        trouble = [0, 0, 8, 40, 200][random.below(5)]
        shortage = [0, 0, 4, 20][random.below(4)]
        drops = [0, 2, 5, 30][random.below(4)]
        finds = [2, 10][random.below(2)]
        handOvers = [0, 1, 2, 3][random.below(4)]
        dropsMax = random.below(3 * size + 1)
        isAnsweredAtOnce = random.once(in: 2)
        cancels = [0, 0, 10, 100][random.below(4)]
        order = Order.allCases[random.below(Order.allCases.count)]
    }

    /// The same models in an order that isn't topological.
    private static func shuffled(_ models: [Scheduler.Model], _ random: inout RandomSource) -> Scheduler.Graph {
        let places = models.indices.shuffled(using: &random)
        var result = models
        for (index, model) in models.enumerated() {
            result[places[index]] = model
            result[places[index]].inputs = model.inputs.map { places[$0] }
        }
        do {
            return try Scheduler.Graph(result)
        } catch {
            fatalError("the generator made a bad graph: \(error)")
        }
    }
}
