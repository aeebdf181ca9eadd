/// All tables of a catalog at one moment.
public struct CatalogState: Codable, Sendable, Equatable {
    /// The version of the form in which it is written.
    public static let format = 1

    /// The version of the form.
    public var format = Self.format
    /// Counts the commits.
    public var version = 0
    /// The tables by their names.
    public var tables: [TableName: TableState] = [:]
    /// Files that belong to no table any more, but may still be read by who has read an earlier state.
    public var retired: [RetiredFile] = []

    /// A file that a commit has taken out of a table.
    public struct RetiredFile: Codable, Sendable, Hashable {
        /// Its name, relative to the warehouse's folder.
        public var path: String
        /// The version that no longer has it.
        public var version: Int

        /// A file that is in no table from that version on.
        public init(path: String, version: Int) {
            self.path = path
            self.version = version
        }
    }

    /// A catalog without a table.
    public init() {}

    enum CodingKeys: String, CodingKey {
        case format, version, tables, retired
    }

    /// Reads a state.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        format = try container.decode(Int.self, forKey: .format)
        guard format == Self.format else {
            throw DecodingError.dataCorruptedError(
                forKey: .format, in: container, debugDescription: "the form has the version \(format)")
        }
        version = try container.decode(Int.self, forKey: .version)
        for (text, table) in try container.decode([String: TableState].self, forKey: .tables) {
            guard let name = TableName(text) else {
                throw DecodingError.dataCorruptedError(
                    forKey: .tables, in: container, debugDescription: "no name of a table")
            }
            tables[name] = table
        }
        retired = try container.decode([RetiredFile].self, forKey: .retired)
    }

    /// Writes the state.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(format, forKey: .format)
        try container.encode(version, forKey: .version)
        let texts = tables.map { ($0.key.description, $0.value) }
        try container.encode(Dictionary(texts) { first, _ in first }, forKey: .tables)
        try container.encode(retired, forKey: .retired)
    }

    /// The namespaces that have tables, sorted.
    public var namespaces: [String] { Set(tables.keys.map(\.namespace)).sorted() }

    /// Why it can't be one that a commit has written; nil where it can.
    var fault: String? {
        guard version >= 0, version < Int.max else { return "its version is \(version)" }
        for (name, table) in tables {
            if table.version < 0 || table.version > version { return "the table \(name) is newer than the catalog" }
            if table.files.isEmpty { return "the table \(name) has no file" }
            for file in table.files {
                guard Self.isPath(file.path) else { return "the table \(name) has a file outside of the warehouse" }
                guard file.rows >= 0, file.bytes >= 0, file.partition.count == table.partitions.count,
                    file.bounds.count == table.partitions.count
                else { return "the file \(file.path) has figures that make no sense" }
            }
        }
        if !retired.allSatisfy({ Self.isPath($0.path) }) { return "a retired file is outside of the warehouse" }
        return nil
    }

    /// Whether a path is that of a data file: two folders, and a name.
    static func isPath(_ path: String) -> Bool {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 3, path.hasSuffix(".parquet") else { return false }
        return parts.enumerated().allSatisfy { place, part in
            let name = place == 2 ? part.dropLast(8) : part
            return !name.isEmpty
                && name.allSatisfy { TableName.isPlain($0) || $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "-") }
        }
    }
}

/// What a commit does to one table.
public struct TableChange: Sendable, Equatable {
    /// What becomes of the rows that are there.
    public enum Strategy: Sendable, Equatable {
        /// The new rows take the place of all.
        case replace
        /// The new rows come to them.
        case append
        /// The new rows take the place of those in the partitions that they are in, or of those that meet a filter. Of files of
        /// which only a part meets it, the rest is among the new rows: they are named.
        case overwritePartitions(OverwriteFilter?, rewritten: Set<String>)
        /// The table goes.
        case drop
    }

    /// The table.
    public var table: TableName
    /// What becomes of the rows that are there.
    public var strategy: Strategy
    /// The columns of the new rows.
    public var fields: [Field]
    /// How the new rows are divided into files.
    public var partitions: [Partition]
    /// The new files, named already.
    public var files: [DataFile]

    /// A change.
    public init(
        _ table: TableName, _ strategy: Strategy, fields: [Field] = [], partitions: [Partition] = [],
        files: [DataFile] = []
    ) {
        self.table = table
        self.strategy = strategy
        self.fields = fields
        self.partitions = partitions
        self.files = files
    }
}

extension CatalogState {
    /// The state that a commit makes of this one: all changes together, or an error and none.
    ///
    /// - Parameter nanoseconds: the time, since 1970.
    public func applying(_ changes: [TableChange], at nanoseconds: Int64) throws(CatalogError) -> CatalogState {
        var next = self
        next.version += 1
        for change in changes {
            let old = next.tables[change.table]
            let files = try next.files(after: change)
            let kept = Set(files.map(\.path))
            for file in old?.files ?? [] where !kept.contains(file.path) {
                next.retired.append(RetiredFile(path: file.path, version: next.version))
            }
            if change.strategy == .drop {
                next.tables[change.table] = nil
                continue
            }
            let isNew = old == nil || change.strategy == .replace
            next.tables[change.table] = TableState(
                fields: isNew ? change.fields : old!.fields,
                partitions: isNew ? change.partitions : old!.partitions, files: files, version: next.version,
                updatedAtNanoseconds: nanoseconds)
        }
        return next
    }

    /// The files that a table has after a change.
    private func files(after change: TableChange) throws(CatalogError) -> [DataFile] {
        guard let old = tables[change.table] else {
            if change.strategy == .drop { throw CatalogError(.unknownTable, "there is no table \(change.table)") }
            return Self.withoutEmpty(change.files)
        }
        switch change.strategy {
        case .drop: return []
        case .replace: return Self.withoutEmpty(change.files)
        case .append:
            try check(change, fits: old)
            return Self.withoutEmpty(old.files + change.files)
        case .overwritePartitions(nil, _):
            try check(change, fits: old)
            let replaced = Set(change.files.filter { $0.rows > 0 }.map(\.partition))
            return Self.withoutEmpty(old.files.filter { !replaced.contains($0.partition) } + change.files)
        case .overwritePartitions(let filter?, let rewritten):
            try check(change, fits: old)
            return Self.withoutEmpty(
                try Self.kept(of: old, unless: filter, rewritten, change.table) + change.files)
        }
    }

    /// The files of a table that stay as they are when the rows that meet a filter go.
    private static func kept(
        of old: TableState, unless filter: OverwriteFilter, _ rewritten: Set<String>, _ name: TableName
    ) throws(CatalogError) -> [DataFile] {
        var kept: [DataFile] = []
        var missing = rewritten
        for file in old.files {
            let isRewritten = missing.remove(file.path) != nil
            switch filter.extent(in: file, partitions: old.partitions) {
            case .none where !isRewritten: kept.append(file)
            case .some where !isRewritten:
                throw CatalogError(
                    .conflict,
                    "the table \(name) was changed by another run: rows that meet the overwrite_filter came to others; run again"
                )
            default: break
            }
        }
        guard missing.isEmpty else {
            throw CatalogError(
                .conflict,
                "the table \(name) was changed by another run while this one overwrote a part of it; run again")
        }
        return kept
    }

    private func check(_ change: TableChange, fits old: TableState) throws(CatalogError) {
        guard change.partitions == old.partitions else {
            throw CatalogError(
                .incompatible,
                "the table \(change.table) is partitioned by \(Self.text(old.partitions)), and the new rows by "
                    + "\(Self.text(change.partitions)): write the same, or publish it once with REPLACE")
        }
        guard let problem = old.fields.problem(with: change.fields) else { return }
        throw CatalogError(
            .incompatible,
            "the new rows do not fit the table \(change.table): \(problem); publish it once with REPLACE to give it other columns"
        )
    }

    private static func text(_ partitions: [Partition]) -> String {
        partitions.isEmpty ? "nothing" : partitions.map(\.description).joined(separator: ", ")
    }

    /// The files without those that have no row; one of them where there are no others, because it has the columns.
    private static func withoutEmpty(_ files: [DataFile]) -> [DataFile] {
        let full = files.filter { $0.rows > 0 }
        return full.isEmpty ? Array(files.suffix(1)) : full
    }
}

extension [Field] {
    /// Why rows of other columns can't come to a table of these; nil where they can. Columns that may have nulls may be missing.
    func problem(with others: [Field]) -> String? {
        var own: [String: Field] = [:]
        for field in self { own[field.name] = field }
        for other in others {
            guard let field = own.removeValue(forKey: other.name) else { return "it has no column '\(other.name)'" }
            guard field.type == other.type else {
                return "its column '\(field.name)' has the type \(field.type), and theirs \(other.type)"
            }
            guard !field.isRequired || other.isRequired else {
                return "its column '\(field.name)' has no nulls, and theirs may have some"
            }
        }
        let missing = filter { own[$0.name] != nil && $0.isRequired }
        return missing.first.map { "they lack the column '\($0.name)', which has no nulls" }
    }

}
