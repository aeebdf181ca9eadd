import Scheduler
import Testing

@Suite struct GraphTests {
    @Test func anInputThatIsNotThereIsRefused() {
        #expect(throws: Scheduler.GraphError.unknownInput(model: 1, input: 7)) {
            try Scheduler.Graph([model(), model(0, 7)])
        }
        #expect(throws: Scheduler.GraphError.unknownInput(model: 0, input: -1)) {
            try Scheduler.Graph([model(-1)])
        }
    }

    @Test func aPreviewHasNoReaders() {
        #expect(throws: Scheduler.GraphError.previewAsInput(model: 2, input: 1)) {
            try Scheduler.Graph([model(), preview(of: 0), model(1)])
        }
    }

    @Test(
        arguments: [
            ([[0]], [0]),
            ([[1], [0]], [1, 0]),
            ([[], [0, 3], [1], [2], [3]], [2, 3, 1]),
        ] as [([[Int]], [Int])])
    func aCycleIsNamedInTheOrderOfItsTables(inputs: [[Int]], cycle: [Int]) {
        let models = inputs.map { Model(inputs: $0, environment: "e") }
        #expect {
            try Scheduler.Graph(models)
        } throws: { error in
            guard case .cycle(let found)? = error as? Scheduler.GraphError else {
                return false
            }
            // The same circle, wherever it begins.
            return found.count == cycle.count
                && found.indices.contains { start in Array(found[start...] + found[..<start]) == cycle }
        }
    }

    @Test func environmentsComeInTheOrderOfNeed() throws {
        let graph = try Scheduler.Graph([
            Model(inputs: [], environment: "late"),
            Model(inputs: [], environment: "first"),
            Model(inputs: [1], environment: "second"),
            Model(inputs: [2], environment: "first"),
        ])
        #expect(graph.environments == ["first", "second", "late"])
    }

    struct Preference: Sendable {
        let name: String
        let models: [Model]
        let forks: [Int]
    }

    static let preferences: [Preference] = [
        Preference(name: "equal ones by index", models: [model(), model(), model()], forks: [0, 1, 2]),
        Preference(name: "the longer chain first", models: [model(), model(), model(1)], forks: [1, 0, 2]),
        Preference(
            name: "the longest of several ways counts",
            models: [model(), model(), model(1), model(2), model(0, 3)], forks: [1, 2, 0, 3, 4]),
        Preference(
            name: "expected times weigh more than numbers",
            models: [model(time: 10), model(0, time: 10), model(time: 50)],
            forks: [2, 0, 1]),
        Preference(
            name: "what is unknown takes as long as the others do on average",
            models: [model(time: 9), model(), model(time: 13)], forks: [2, 1, 0]),
        Preference(
            name: "times out of bounds do no harm",
            models: [model(time: -5), model(time: .max), model(1, time: .max)], forks: [1, 2, 0]),
        Preference(
            name: "previews come last", models: [model(final: true), preview(of: 0), model()], forks: [0, 2, 1]),
    ]

    @Test(arguments: preferences) func modelsRunInTheOrderOfPreference(_ preference: Preference) throws {
        var script = try Script(preference.models, slots: 1)
        while let worker = script.forked.indices.last, script.outcome == nil {
            if preference.models[script.forked[worker]].role == .preview {
                script.begin(worker)
                script.feed(.done(WorkerID(worker)), .exited(WorkerID(worker), Scheduler.Exit()))
            } else {
                script.complete(worker)
            }
        }
        #expect(script.forked == preference.forks, "\(preference.name)")
    }
}
