import Scheduler

/// The graph logic of one run: which models may start, which run again because their tables were dropped, which tables nobody
/// needs any more.
struct ResourceFlow {
    enum Phase { case idle, asking, granted }
    enum Place { case none, held, gone }

    let run: ResourceWorkload.Run
    private(set) var readers: [[Int]]
    var phase: [Phase]
    var table: [Place]
    /// Whether it has delivered once.
    var isDone: [Bool]
    var isRetry: [Bool]
    /// What was read of it, as a check of contents.
    var hasFailed = false

    init(_ run: ResourceWorkload.Run) {
        self.run = run
        let count = run.models.count
        readers = Array(repeating: [], count: count)
        for (model, state) in run.models.enumerated() {
            for input in Set(state.inputs) { readers[input].append(model) }
        }
        phase = Array(repeating: .idle, count: count)
        table = Array(repeating: .none, count: count)
        isDone = Array(repeating: false, count: count)
        isRetry = Array(repeating: false, count: count)
    }

    var isOver: Bool { !isDone.contains(false) && !phase.contains(.granted) && !phase.contains(.asking) }

    func isFinal(_ model: Int) -> Bool { run.models[model].isFinal || readers[model].isEmpty }

    /// The models that are to run, for the first time or because a reader lacks their tables.
    func wanted() -> [Bool] {
        var wanted = isDone.map { !$0 }
        for model in run.models.indices.reversed() where wanted[model] && phase[model] != .granted {
            let inputs = run.models[model].inputs
            // On demand: not before all other inputs have been made for the first time.
            guard inputs.allSatisfy({ isDone[$0] }) else { continue }
            for input in inputs where table[input] == .gone { wanted[input] = true }
        }
        return wanted
    }

    /// Held tables that nobody will read any more.
    func needless(_ wanted: [Bool]) -> [Int] {
        run.models.indices.filter { model in
            table[model] == .held && !isFinal(model)
                && !readers[model].contains { wanted[$0] || phase[$0] != .idle }
        }
    }

    func isReady(_ model: Int) -> Bool { run.models[model].inputs.allSatisfy { table[$0] == .held } }

    /// How many models will be granted before the next one that reads the table, if they come by index.
    func nextUse(_ model: Int, _ wanted: [Bool]) -> Int? {
        guard let reader = readers[model].first(where: { wanted[$0] && phase[$0] != .granted }) else { return nil }
        return (0..<reader).count { wanted[$0] && phase[$0] != .granted }
    }

    /// The time to make a table anew when its next reader comes, with all that won't be there any more by then.
    func recomputeSeconds(_ model: Int) -> Double {
        var needed = Set([model])
        let reader = readers[model].first { !isDone[$0] && phase[$0] != .granted } ?? 0
        func willBeHeld(_ input: Int) -> Bool {
            table[input] == .held && (isFinal(input) || readers[input].contains { !isDone[$0] && $0 >= reader })
        }
        var seconds = 0.0
        for model in (0...model).reversed() where needed.contains(model) {
            seconds += run.models[model].seconds
            for input in run.models[model].inputs where !willBeHeld(input) { needed.insert(input) }
        }
        return seconds
    }
}
