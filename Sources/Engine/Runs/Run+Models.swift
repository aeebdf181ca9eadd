import Sandbox
import Scheduler
import Store
import System

/// The models of a run, as the scheduler numbers them: those of the plan, then one preview for each final model.
extension Run {
    /// What the scheduler has to know of them.
    ///
    /// - Parameters:
    ///   - isCached: which of the plan's models have a table in a cache.
    ///   - previewOf: the models that are shown.
    static func graph(
        _ plan: Plan, _ options: RunOptions, _ engine: EngineOptions, seeing view: WorkerView, isCached: [Bool],
        previewOf: [Int]
    ) throws -> Scheduler.Graph {
        let index = Dictionary(uniqueKeysWithValues: plan.models.enumerated().map { ($1.name, $0) })
        let models = zip(plan.models, isCached).map { model, isCached in
            Scheduler.Model(
                inputs: model.inputs.map { index[$0]! }, environment: ZygoteKey(model, of: plan, seeing: view).name,
                isFinal: model.final, isCached: isCached, mayBeFound: model.sharedKey(options, engine) != nil,
                canRollBack: model.cache != false && !model.network && model.repeatable != false)
        }
        let previews = previewOf.map { model in
            Scheduler.Model(
                inputs: [model], environment: ZygoteKey(plan.models[model], of: plan, seeing: view).name,
                role: .preview)
        }
        return try Scheduler.Graph(models + previews)
    }

    /// A preview's place in the scheduler's list comes after the plan's models.
    func isPreview(_ model: Int) -> Bool { model >= plan.models.count }

    /// The plan's model; for a preview, the one that it shows.
    func planModel(_ model: Int) -> Plan.Model { plan.models[shownModel(model)] }

    /// The place of that model.
    func shownModel(_ model: Int) -> Int { isPreview(model) ? previewOf[model - plan.models.count] : model }

    /// The name for messages.
    func name(of model: Int) -> String {
        isPreview(model) ? "preview of \(planModel(model).name)" : plan.models[model].name
    }

    func key(of model: Int) -> ZygoteKey { ZygoteKey(planModel(model), of: plan, seeing: files.view) }

    func inputs(of model: Int) -> [Int] { scheduler.graph.models[model].inputs }

    /// How many of its models could run now and wait to be granted.
    var askingCount: Int { scheduler.graph.models.indices.count { scheduler.isAsking($0) } }

    /// How many models will probably be granted before one that reads the model's table is; nil if none will read it.
    func grantsUntilRead(of model: Int) -> Int? {
        scheduler.nextReaderRank(of: model).map { max(0, $0 - grantCount) }
    }

    /// How long a model may run; nil for ever.
    func timeout(of model: Int) -> ModelTimeout? {
        isPreview(model) ? nil : ModelTimeout(of: plan.models[model], in: plan, options)
    }

    /// What a worker is to do.
    func task(of model: Int) -> JSONValue {
        guard isPreview(model) else { return plan.models[model].task }
        return [
            "kind": "preview", "rows": .integer(Int64(options.previewRows)),
            "width": .integer(Int64(options.previewWidth)), "tail": .bool(options.previewsTail),
        ]
    }

    /// Where a model gets the files of sources that it reads by itself; nil for one that reads none, and without a sandbox, where it
    /// opens them by their names.
    func sources(of model: Int) throws -> DescriptorBox? {
        guard engine.options.isSandboxed, !isPreview(model) else { return nil }
        let sources = plan.models[model].sources
        guard !sources.isEmpty else { return nil }
        let files = sources.flatMap(\.fileIdentities)
        guard files.count == sources.reduce(0, { $0 + ($1["files"]?.array?.count ?? 0) }) else { return nil }
        return try engine.fileBroker.offer(
            files.map { BrokeredFile(path: $0.path, device: $0.device, inode: $0.inode) })
    }
}
