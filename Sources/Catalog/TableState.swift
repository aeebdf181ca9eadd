/// A table of a catalog at one moment: its columns, and the files that are its rows.
public struct TableState: Codable, Sendable, Equatable {
    /// Its columns, in their order.
    public var fields: [Field]
    /// How its rows are divided into files; empty where they aren't.
    public var partitions: [Partition]
    /// Its data files.
    public var files: [DataFile]
    /// The catalog's version that changed it last.
    public var version: Int
    /// When that was, in nanoseconds since 1970.
    public var updatedAtNanoseconds: Int64

    enum CodingKeys: String, CodingKey {
        case fields, partitions, files, version
        case updatedAtNanoseconds = "updated_at_ns"
    }

    /// A table.
    public init(
        fields: [Field], partitions: [Partition], files: [DataFile], version: Int, updatedAtNanoseconds: Int64
    ) {
        self.fields = fields
        self.partitions = partitions
        self.files = files
        self.version = version
        self.updatedAtNanoseconds = updatedAtNanoseconds
    }

    /// How many rows it has.
    public var rows: Int64 { files.reduce(0) { $0.saturating(adding: $1.rows) } }

    /// The bytes of its files.
    public var bytes: Int64 { files.reduce(0) { $0.saturating(adding: $1.bytes) } }
}

/// A column of a table.
public struct Field: Codable, Sendable, Hashable {
    /// Its name.
    public var name: String
    /// Its type, by Arrow's name.
    public var type: String
    /// Whether it has no nulls.
    public var isRequired: Bool

    enum CodingKeys: String, CodingKey {
        case name, type
        case isRequired = "required"
    }

    /// A column.
    public init(name: String, type: String, isRequired: Bool = false) {
        self.name = name
        self.type = type
        self.isRequired = isRequired
    }
}

/// One of the columns by whose values the rows of a table are divided into files, or what is made of its values.
public struct Partition: Codable, Sendable, Hashable, CustomStringConvertible {
    /// The column.
    public var column: String
    /// What is made of its values: `identity`, `year`, `month`, `day`, `hour` or `truncate`.
    public var transform: String
    /// The width of `truncate`.
    public var width: Int?

    /// A partition column.
    public init(column: String, transform: String = "identity", width: Int? = nil) {
        self.column = column
        self.transform = transform
        self.width = width
    }

    /// As a project writes it: `day`, `YEAR(ts)`, `TRUNCATE(4, name)`.
    public var description: String {
        switch (transform, width) {
        case ("identity", _): column
        case (_, let width?): "\(transform.uppercased())(\(width), \(column))"
        default: "\(transform.uppercased())(\(column))"
        }
    }
}

/// A Parquet file of a table. It is never changed.
public struct DataFile: Codable, Sendable, Hashable {
    /// Its name, relative to the warehouse's folder.
    public var path: String
    /// How many rows it has.
    public var rows: Int64
    /// Its size.
    public var bytes: Int64
    /// The values of the table's partition columns that all its rows have, as texts; null for null.
    public var partition: [String?]
    /// The least and the greatest values of the columns that the partitions are made of, one each.
    public var bounds: [Bounds]

    /// A file.
    public init(path: String, rows: Int64, bytes: Int64, partition: [String?] = [], bounds: [Bounds] = []) {
        self.path = path
        self.rows = rows
        self.bytes = bytes
        self.partition = partition
        self.bounds = bounds
    }
}

extension Int64 {
    /// The sum, or the largest number where that is larger.
    func saturating(adding other: Int64) -> Int64 {
        let (sum, overflows) = addingReportingOverflow(other)
        return overflows ? .max : sum
    }
}
