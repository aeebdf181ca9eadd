import Catalog
import FoundationEssentials
import System

/// Tells a planner what is in the catalog, and keeps the files of the tables that it was told of.
final class CatalogAnswers {
    /// The folder that the user names in place of the project's; nil: the project's.
    private let override: String?
    /// What was read when the planner asked first: all answers are of one moment.
    private var snapshot: CatalogSnapshot?
    /// Whether the planner was told of files.
    private var hasGivenFiles = false

    /// Keeps the files that the planner was told of; nil where there are none.
    var pin: (any Sendable)? { hasGivenFiles ? snapshot?.pin : nil }

    /// The name of the variable that has a warehouse's folder for all projects.
    static let variable = "ZERROW_WAREHOUSE"

    init(_ environment: [String: String]) {
        let named = environment[Self.variable] ?? ""
        override = named.isEmpty ? nil : Self.whole(named, environment["HOME"])
    }

    private struct Answer: Encodable {
        let warehouse: String
        let version: Int
        let tables: [String: Table]
    }

    private struct Table: Encodable {
        let rows: Int64
        let bytes: Int64
        let files: Int
        let fields: [Field]
        let partitions: [Partition]
        let updatedAtNanoseconds: Int64
        /// The files, of tables that were asked for by name.
        let data: [DataFile]?

        enum CodingKeys: String, CodingKey {
            case rows, bytes, files, fields, partitions, data
            case updatedAtNanoseconds = "updated_at_ns"
        }
    }

    /// The tables of the catalog in the project's folder, or in that of the variable: as JSON.
    ///
    /// - Parameter names: the tables that are wanted with their files.
    func answer(_ place: String, _ names: Set<String>) throws(CatalogError) -> [UInt8] {
        let warehouse = Self.real(override ?? place)
        if self.snapshot == nil { self.snapshot = try FolderCatalog(warehouse).read() }
        guard let snapshot else { preconditionFailure("a catalog that was read has a snapshot") }
        hasGivenFiles = hasGivenFiles || !names.isEmpty
        let tables = snapshot.state.tables.map { name, table in
            (
                name.description,
                Table(
                    rows: table.rows, bytes: table.bytes, files: table.files.count, fields: table.fields,
                    partitions: table.partitions, updatedAtNanoseconds: table.updatedAtNanoseconds,
                    data: names.contains(name.description) ? table.files : nil)
            )
        }
        let answer = Answer(
            warehouse: warehouse, version: snapshot.state.version,
            tables: Dictionary(tables) { first, _ in first })
        guard let content = try? JSONEncoder().encode(answer) else {
            throw CatalogError(.unusable, "the catalog in \(warehouse) has figures that JSON can't hold")
        }
        return [UInt8](content)
    }

    /// The path from the root.
    private static func whole(_ path: String, _ home: String?) -> String {
        if path.hasPrefix("~/"), let home { return home + path.dropFirst(1) }
        return path.hasPrefix("/") ? path : (Path.resolved(".") ?? ".") + "/" + path
    }

    /// The real path of a folder that need not be there: that of what is there of it, and the rest as it is.
    private static func real(_ path: String) -> String {
        var (place, rest) = (path, [Substring]())
        while Path.resolved(place) == nil, place != "/", place != "." {
            if let name = place.split(separator: "/").last { rest.insert(name, at: 0) }
            place = Path.parent(place)
        }
        return ([Path.resolved(place) ?? place] + rest.filter { $0 != "." }.map(String.init)).joined(separator: "/")
            .replacing("//", with: "/")
    }
}
