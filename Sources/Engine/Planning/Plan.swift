import FoundationEssentials

/// The planner's answer about a project: the DAG, ready to run (`docs/plan.md`).
public struct Plan: Codable, Sendable {
    /// The version of the format this engine reads.
    public static let version = 1

    /// The project the plan was read from.
    public struct Project: Codable, Sendable {
        /// Its name, as the project file gives it or the folder's.
        public var name: String
        /// Its folder, absolute.
        public var folder: String
    }

    /// A command of the project that makes source files which are missing.
    public struct Prepare: Codable, Sendable {
        /// Program and arguments; `python` stands for the environment's interpreter.
        public var command: [String]
        /// The source tables that have no file yet.
        public var missing: [String]
    }

    /// A Python interpreter with packages; a zygote serves one.
    public struct Environment: Codable, Sendable {
        /// The name that models use for it.
        public var id: String
        /// The interpreter, absolute.
        public var python: String
        /// Modules worth importing before the first worker is forked.
        public var modules: [String]
        /// The version of the interpreter of an environment that models ask for; nil for the default environment, which is there.
        public var version: String?
        /// The packages that models ask for in it, each as `name version`.
        public var packages: [String]?

        /// The environment as people read it; nil for the default one.
        public var title: String? {
            guard let version else { return nil }
            let names = packages ?? []
            let more = names.count > 6 ? " and \(names.count - 6) more" : ""
            return "Python \(version)" + (names.isEmpty ? "" : ": ") + names.prefix(6).joined(separator: ", ") + more
        }
    }

    /// One node of the DAG.
    public struct Model: Codable, Sendable {
        /// `scan`, `python`, `sql` or `filter`.
        public var kind: String
        /// Unique in the plan.
        public var name: String
        /// The environment's id.
        public var environment: String
        /// Names of models of this plan, one per table argument, in the task's order.
        public var inputs: [String]
        /// Whether its worker may use the network.
        public var network: Bool
        /// The most memory its worker may take.
        public var memoryBytesMax: UInt64?
        /// The most seconds it may run.
        public var timeoutSeconds: Double?
        /// Whether no other model reads it.
        public var final: Bool
        /// The file that declares it, relative to the project folder.
        public var file: String?
        /// The line in that file.
        public var line: Int?
        /// Whether its result may be taken from a cache, and be made again; nil is yes.
        public var cache: Bool?
        /// A hash that stands for its code alone; nil when it can't be told.
        public var code: String?
        /// A text that stands for its result: equal keys, equal tables. Nil when no result must be kept.
        public var key: String?
        /// Why there is no key; nil when there is one.
        public var because: String?
        /// Whether it gives an equal table when it runs again; nil is yes.
        public var repeatable: Bool?
        /// The bytes that a scan's columns take once decoded.
        public var expectedBytes: UInt64?
        /// The table of the catalog that it writes its input to; nil for all but materializations.
        public var materialize: Materialize?
        /// The file that it writes its input to; nil for all but sinks.
        public var sink: Sink?
        /// The sources that it reads by itself, as its task says: there is no scan of these before it. Nil if there are none.
        public var streamed: [Streamed]?
        /// The task that its worker reads; the engine passes it on unread.
        public var task: JSONValue

        enum CodingKeys: String, CodingKey {
            case kind, name, environment, inputs, network, final, file, line, cache, code, key, because, repeatable,
                task, materialize, sink, streamed
            case expectedBytes = "expected_bytes"
            case memoryBytesMax = "memory_bytes_max"
            case timeoutSeconds = "timeout_s"
        }
    }

    /// A source that a model reads by itself.
    public struct Streamed: Codable, Sendable, Equatable {
        /// The source's name.
        public var table: String
        /// How many files it has.
        public var files: Int
        /// The bytes of these files.
        public var bytes: UInt64
    }

    /// A file for others to read that a model's table is written to.
    public struct Sink: Codable, Sendable, Equatable {
        /// Its name in the folder of the run's exports.
        public var file: String
    }

    /// What becomes of a model's table in the catalog.
    public struct Materialize: Codable, Sendable {
        /// The table's name with its namespace.
        public var table: String
        /// `REPLACE`, `APPEND` or `OVERWRITE_PARTITIONS`.
        public var strategy: String
        /// The files of the table that hold rows which are overwritten and others, by their names in the warehouse; the others are the
        /// second input.
        public var rewritten: [String]?
    }

    /// The catalog that tables are written to.
    public struct Catalog: Codable, Sendable {
        /// Its folder, absolute.
        public var warehouse: String
    }

    /// The format's version.
    public var version: Int
    /// The project.
    public var project: Project
    /// The values of the project's parameters for people to see; what may be secret is `***`.
    public var parameters: [String: JSONValue]?
    /// Set when sources are missing and the project says how to make them.
    public var prepare: Prepare?
    /// Things in the project that could be better, for the user.
    public var warnings: [Problem]?
    /// The environments that models name.
    public var environments: [Environment]
    /// The most seconds that a model may run which says nothing itself, scans excepted; nil: for ever.
    public var timeoutSeconds: Double?
    /// The models, in a topological order.
    public var models: [Model]
    /// The catalog, where a model writes to it.
    public var catalog: Catalog?
    /// Keeps the files of the catalog's tables that the plan names; only in the process that planned.
    public var pin: (any Sendable)? = nil
    /// The planner's process, where its end has not been waited for: it is when nobody holds this. Only in the process that planned.
    public var planner: (any Sendable)? = nil
    /// The parts of the project's folder that models must not see; nil if there are none.
    public var hidden: Hidden?
    /// The project's code for the workers, of which each task names its parts; nil: they read the files.
    public var handedOver: Data?

    enum CodingKeys: String, CodingKey {
        case version, project, parameters, prepare, warnings, environments, models, hidden, catalog
        case handedOver = "handed_over"
        case timeoutSeconds = "timeout_s"
    }

    /// How what is not for models is hidden in the project's folder; all are absolute paths.
    public struct Hidden: Codable, Sendable {
        /// A folder of which only the listed paths stay visible.
        public struct Folder: Codable, Sendable {
            /// The folder.
            public var folder: String
            /// The paths in it that stay visible.
            public var shown: [String]
        }

        /// Files and folders that can't be seen, none in another one.
        public var covered: [String]
        /// Folders of which only some paths stay visible; each comes before those that lie in it.
        public var rebuilt: [Folder]
    }

    /// Something wrong in a project, and where.
    public struct Problem: Codable, Sendable {
        /// A stable word for its kind.
        public var code: String
        /// What is wrong, in a sentence.
        public var message: String
        /// The model it concerns.
        public var model: String?
        /// The file, relative to the project folder.
        public var file: String?
        /// The line in that file.
        public var line: Int?
        /// What to do.
        public var hint: String?

        /// The problem as a user reads it: `models.py:12: message (hint)`.
        public var text: String {
            var place = file ?? ""
            if let line, file != nil { place += ":\(line)" }
            if !place.isEmpty { place += ": " }
            let named = model.map { message.contains("'\($0)'") ? "" : "model '\($0)': " } ?? ""
            return place + named + message + (hint.map { "\n  hint: \($0)" } ?? "")
        }
    }
}

extension Plan {
    /// The plan as one JSON object.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        guard let data = try? encoder.encode(self) else { preconditionFailure("a plan that JSON cannot hold") }
        return String(decoding: data, as: UTF8.self)
    }
}
