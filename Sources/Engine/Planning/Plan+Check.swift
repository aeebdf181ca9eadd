import Catalog
import System

extension Plan {
    /// Checks the facts that the rest of the engine relies on: each input is a model before its reader, names are unique and
    /// short, environments exist, paths are paths. The planner keeps to this; a plan that does not is `EngineError.planner`,
    /// which names the fault.
    ///
    /// Figures are not looked at: whatever they are, the engine reckons with the largest that makes sense.
    func check() throws(EngineError) {
        guard version == Plan.version else {
            throw .planner("the planner speaks version \(version) of the plan, this engine \(Plan.version)")
        }
        guard models.count <= Limit.planModelsMax else {
            throw .planner("the plan has \(models.count) models, \(Limit.planModelsMax) are possible")
        }
        try Self.check(path: project.folder, "the project's folder")
        if let catalog { try Self.check(path: catalog.warehouse, "the warehouse") }
        try checkEnvironments()
        try checkModels()
        for path in hidden?.covered ?? [] { try Self.check(path: path, "what is covered") }
        for folder in hidden?.rebuilt ?? [] {
            for path in [folder.folder] + folder.shown { try Self.check(path: path, "what is rebuilt") }
        }
        guard prepare.map({ !$0.command.isEmpty }) ?? true else {
            throw .planner("the plan has a prepare command without a program")
        }
    }

    private func checkEnvironments() throws(EngineError) {
        var ids: Set<String> = []
        for environment in environments {
            try Self.check(name: environment.id, "an environment")
            try Self.check(path: environment.python, "the interpreter of environment '\(environment.id)'")
            guard ids.insert(environment.id).inserted else {
                throw .planner("two environments of the plan are named '\(environment.id)'")
            }
            for module in environment.modules + (environment.packages ?? []) + (environment.version.map { [$0] } ?? [])
            {
                try Self.check(name: module, "a module of environment '\(environment.id)'")
            }
            // It becomes the name of a folder.
            let isMade =
                EnvironmentCache.isID(environment.id) && environment.python.hasSuffix("/\(environment.id)/bin/python")
            guard environment.version == nil || isMade else {
                throw .planner("environment '\(Self.short(environment.id))' is not in a folder of its own")
            }
        }
    }

    private func checkModels() throws(EngineError) {
        let known = Set(environments.map(\.id))
        var seen: Set<String> = []
        var written: Set<TableName> = []
        var sinks: Set<String> = []
        for model in models {
            try Self.check(name: model.name, "a model")
            if let target = model.materialize { try check(target, of: model, &written) }
            if let sink = model.sink { try check(sink, of: model, &sinks) }
            guard known.contains(model.environment) else {
                throw .planner(
                    "model '\(model.name)' names an unknown environment '\(Self.short(model.environment))'")
            }
            for input in model.inputs where !seen.contains(input) {
                throw .planner("model '\(model.name)' comes before its input '\(Self.short(input))' in the plan")
            }
            guard seen.insert(model.name).inserted else {
                throw .planner("two models of the plan are named '\(model.name)'")
            }
            // It becomes the name of a file.
            guard model.key.map({ Self.isKey($0) }) ?? true else {
                throw .planner("model '\(model.name)' has the key '\(Self.short(model.key ?? ""))', which can't be one")
            }
            for source in model.streamed ?? [] { try Self.check(name: source.table, "a source of '\(model.name)'") }
            guard (model.code ?? "").utf8.count <= Limit.nameBytesMax else {
                throw .planner("model '\(model.name)' has a key of its code that is too long")
            }
        }
    }

    private func check(
        _ target: Materialize, of model: Model, _ written: inout Set<TableName>
    ) throws(EngineError) {
        guard let table = TableName(target.table), MaterializationStrategy(rawValue: target.strategy) != nil,
            !model.inputs.isEmpty, catalog != nil
        else {
            throw .planner("model '\(model.name)' writes to '\(Self.short(target.table))', which can't be")
        }
        guard written.insert(table).inserted else { throw .planner("two models write to the table '\(table)'") }
    }

    private func check(_ sink: Sink, of model: Model, _ files: inout Set<String>) throws(EngineError) {
        try Self.check(name: sink.file, "the file of a sink")
        guard !sink.file.utf8.contains(UInt8(ascii: "/")), sink.file != ".", sink.file != "..", model.inputs.count == 1,
            model.materialize == nil
        else { throw .planner("model '\(model.name)' writes to '\(Self.short(sink.file))', which can't be") }
        guard files.insert(sink.file).inserted else {
            throw .planner("two models write to the file '\(Self.short(sink.file))'")
        }
    }

    private static func check(name: String, _ what: String) throws(EngineError) {
        guard !name.isEmpty, name.utf8.count <= Limit.nameBytesMax, !name.utf8.contains(0) else {
            throw .planner(
                "\(what) has the name '\(short(name))' of \(name.utf8.count) bytes: 1 to \(Limit.nameBytesMax) are possible"
            )
        }
    }

    private static func check(path: String, _ what: String) throws(EngineError) {
        guard path.hasPrefix("/"), path.utf8.count < Limit.pathBytesMax, !path.utf8.contains(0) else {
            throw .planner(
                "\(what) is '\(short(path))', which is no absolute path of less than \(Limit.pathBytesMax) bytes")
        }
    }

    private static func isKey(_ key: String) -> Bool {
        !key.isEmpty && key.utf8.count <= 128
            && key.utf8.allSatisfy { byte in
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: "_")
            }
    }

    /// A text from outside, as far as people want to see it.
    private static func short(_ text: String) -> String {
        text.utf8.count <= 80 ? text : String(decoding: text.utf8.prefix(80), as: UTF8.self) + "…"
    }
}
