import Catalog
import FoundationEssentials
import System

/// The tables that a project can read without running anything, as `zerrow table ls` prints them.
public struct TableListing: Codable, Sendable {
    /// A table.
    public struct Table: Codable, Sendable {
        /// Its namespace.
        public var namespace: String
        /// Its own name.
        public var name: String
        /// `table` for one of the catalog, `source` for one that the project names.
        public var kind: String
        /// How many rows it has; null where that is not known.
        @Nullable public var rows: Int64?
        /// The bytes of its files; null where they are not known.
        @Nullable public var bytes: Int64?
        /// How many files it has; 0 where that is not known.
        public var files: Int
        /// Its columns; null where they are not known.
        @Nullable public var fields: [Field]?
        /// How its rows are divided into files.
        public var partitionedBy: [String]
        /// When it was changed last, in nanoseconds since 1970; null where that is not known.
        @Nullable public var updatedAtNanoseconds: Int64?
        /// Its files, absolute; nil where all tables are listed.
        public var paths: [String]?

        enum CodingKeys: String, CodingKey {
            case namespace, name, kind, rows, bytes, files, fields, paths
            case partitionedBy = "partitioned_by"
            case updatedAtNanoseconds = "updated_at_ns"
        }

        /// The name with the namespace.
        public var fullName: String { "\(namespace).\(name)" }
    }

    /// The catalog's folder, absolute.
    public var warehouse: String
    /// The tables, sorted by their names.
    public var tables: [Table]

    /// Reads a planner's answer.
    init(_ bytes: [UInt8]) throws(EngineError) {
        if let excess = JSONShape(bytes).excess { throw .planner("its answer \(excess)") }
        do {
            self = try JSONDecoder().decode(TableListing.self, from: Data(bytes))
        } catch {
            throw .planner("its answer does not read as a list of tables: \("\(error)".prefix(1000))")
        }
    }

    /// The tables as one JSON object.
    public var json: String { Self.json(["tables": tables]) }

    /// The namespaces, each with the number of its tables, as one JSON object.
    public var namespacesJSON: String { Self.json(["namespaces": namespaces]) }

    /// A namespace.
    public struct Namespace: Codable, Sendable {
        /// Its name.
        public var name: String
        /// How many tables it has.
        public var tables: Int
    }

    /// The namespaces that have tables, sorted.
    public var namespaces: [Namespace] {
        Dictionary(grouping: tables, by: \.namespace).map { Namespace(name: $0.key, tables: $0.value.count) }
            .sorted { $0.name < $1.name }
    }

    private static func json(_ value: some Encodable) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        guard let data = try? encoder.encode(value) else { preconditionFailure("a listing that JSON cannot hold") }
        return String(decoding: data, as: UTF8.self)
    }
}

extension Engine {
    /// The tables that a project can read without running anything; no engine is needed for that.
    ///
    /// - Parameter name: the one that is wanted, with more of it; nil: all.
    public static func tables(
        installation: Installation, environment: [String: String], folder: String, _ request: PlanRequest,
        name: String? = nil, isSandboxed: Bool = true
    ) throws -> TableListing {
        try Planner(
            installation: installation, environment: environment, writtenFolders: [], isSandboxed: isSandboxed
        ).tables(folder: folder, request, name: name)
    }

    /// Removes a table from a catalog. Its files stay as long as somebody reads them.
    ///
    /// - Returns: the table.
    public static func removeTable(
        installation: Installation, environment: [String: String], folder: String, _ request: PlanRequest,
        name: String, isSandboxed: Bool = true
    ) throws -> TableListing.Table {
        let listing = try tables(
            installation: installation, environment: environment, folder: folder, request, name: name,
            isSandboxed: isSandboxed)
        guard let table = listing.tables.first else { throw EngineError.planner("its answer has no table") }
        guard table.kind == "table", let known = TableName(table.fullName) else {
            throw EngineError.options(
                "\(table.fullName) is a source of the project: only tables of the catalog can be removed")
        }
        _ = try FolderCatalog(listing.warehouse).commit([TableChange(known, .drop)], [[]]) { true }
        return table
    }
}
