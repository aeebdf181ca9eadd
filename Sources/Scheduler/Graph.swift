extension Scheduler {
    /// The models of one run, checked: every input exists, there is no cycle, nothing reads a preview.
    ///
    /// Models are named by their index in `models`; they need not be in a topological order.
    public struct Graph: Sendable {
        /// The models as they were given.
        public let models: [Model]

        /// The environments in use, each once, the one that is needed most urgently first.
        public let environments: [String]

        /// Every input of a model once, ascending.
        public let inputs: [[Int]]

        /// The models that read a model's table, each once, ascending.
        public let readers: [[Int]]

        /// The models of each environment in a topological order; indexed like `environments`.
        let environmentModels: [[Int]]

        /// Index of each model's environment in `environments`.
        let environment: [Int]

        /// Index of each environment in `environments`.
        let environmentIndex: [String: Int]

        /// Models in the order in which they are preferred: the longest remaining chain first, then by index; previews last.
        let preference: [Int]

        /// The place of each model in `preference`.
        let rank: [Int]

        /// Models that must run: those that aren't cached and are final, read by nobody, or read by another one that must run.
        let isNeeded: [Bool]

        /// Checks the models and computes in which order they are preferred.
        ///
        /// Takes time linear in models and inputs, but for one sort.
        public init(_ models: [Model]) throws(GraphError) {
            var readers = [[Int]](repeating: [], count: models.count)
            var distinct: [[Int]] = []
            distinct.reserveCapacity(models.count)
            for (index, model) in models.enumerated() {
                let inputs = Self.distinct(model.inputs)
                for input in inputs {
                    guard models.indices.contains(input) else {
                        throw .unknownInput(model: index, input: input)
                    }
                    guard models[input].role == .table else {
                        throw .previewAsInput(model: index, input: input)
                    }
                    readers[input].append(index)
                }
                distinct.append(inputs)
            }
            let order = Self.topologicalOrder(inputs: distinct, readers: readers)
            guard order.count == models.count else {
                throw .cycle(Self.cycle(inputs: distinct, outside: order))
            }
            self.models = models
            self.inputs = distinct
            self.readers = readers
            preference = Self.preference(models, readers: readers, order: order)
            var rank = [Int](repeating: 0, count: models.count)
            for (place, model) in preference.enumerated() {
                rank[model] = place
            }
            self.rank = rank
            isNeeded = Self.isNeeded(models, readers: readers, order: order)

            var keys: [String: Int] = [:]
            for model in preference where keys[models[model].environment] == nil {
                keys[models[model].environment] = keys.count
            }
            environmentIndex = keys
            environments = keys.sorted { $0.value < $1.value }.map(\.key)
            environment = models.map { keys[$0.environment]! }
            var environmentModels = [[Int]](repeating: [], count: keys.count)
            for model in order {
                environmentModels[environment[model]].append(model)
            }
            self.environmentModels = environmentModels
        }

        private static func distinct(_ inputs: [Int]) -> [Int] {
            let sorted = inputs.sorted()
            return sorted.indices.filter { $0 == 0 || sorted[$0] != sorted[$0 - 1] }.map { sorted[$0] }
        }

        private static func isNeeded(_ models: [Model], readers: [[Int]], order: [Int]) -> [Bool] {
            var isNeeded = [Bool](repeating: false, count: models.count)
            for model in order.reversed() where !models[model].isCached {
                isNeeded[model] =
                    models[model].isFinal || readers[model].isEmpty || readers[model].contains { isNeeded[$0] }
            }
            return isNeeded
        }

        private static func topologicalOrder(inputs: [[Int]], readers: [[Int]]) -> [Int] {
            var missing = inputs.map(\.count)
            var order = missing.indices.filter { missing[$0] == 0 }
            order.reserveCapacity(missing.count)
            var next = 0
            while next < order.count {
                for reader in readers[order[next]] {
                    missing[reader] -= 1
                    if missing[reader] == 0 {
                        order.append(reader)
                    }
                }
                next += 1
            }
            return order
        }

        /// One cycle among the models that have no place in the order, each followed by a model that reads it.
        private static func cycle(inputs: [[Int]], outside order: [Int]) -> [Int] {
            var isOrdered = [Bool](repeating: false, count: inputs.count)
            for model in order {
                isOrdered[model] = true
            }
            // A model without a place has an input without a place, so a walk from input to input must come back to where it was.
            var path: [Int] = []
            var place: [Int: Int] = [:]
            var model = isOrdered.firstIndex(of: false)!
            while place[model] == nil {
                place[model] = path.count
                path.append(model)
                model = inputs[model].first { !isOrdered[$0] }!
            }
            return path[place[model]!...].reversed()
        }

        /// Orders models by the expected time from their start to the end of the longest chain that needs them.
        private static func preference(_ models: [Model], readers: [[Int]], order: [Int]) -> [Int] {
            // Each time is bounded, so that no sum of times overflows.
            let times = models.map { $0.expectedTime.map { min(max($0, .zero), .seconds(31_536_000)) } }
            let known = times.compactMap(\.self)
            let typical = known.isEmpty ? .seconds(1) : known.reduce(.zero, +) / known.count
            var chain = [Duration](repeating: .zero, count: models.count)
            // A preview is no reason to hurry.
            for model in order.reversed() where models[model].role == .table {
                let rest = readers[model].reduce(.zero) { max($0, chain[$1]) }
                chain[model] = (times[model] ?? typical) + rest
            }
            return models.indices.sorted { left, right in
                if models[left].role != models[right].role {
                    return models[left].role == .table
                }
                return chain[left] == chain[right] ? left < right : chain[left] > chain[right]
            }
        }
    }

    /// Why models don't make a graph.
    public enum GraphError: Error, Equatable, CustomStringConvertible {
        /// A model has an input that isn't there.
        case unknownInput(model: Int, input: Int)
        /// A model reads a preview, which has no table.
        case previewAsInput(model: Int, input: Int)
        /// The models read each other in a circle; each is followed by one that reads it, the last is read by the first.
        case cycle([Int])

        /// Names the models by index.
        public var description: String {
            switch self {
            case .unknownInput(let model, let input):
                "model \(model) has input \(input), and there is no such model"
            case .previewAsInput(let model, let input):
                "model \(model) has input \(input), which is a preview and has no table"
            case .cycle(let models):
                "models read each other in a circle: "
                    + (models + models.prefix(1)).map(String.init).joined(separator: " -> ")
            }
        }
    }
}
