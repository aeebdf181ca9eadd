/// A value of a column, in a form that has the order of the column's values.
public enum ColumnValue: Codable, Sendable, Hashable {
    /// Of whole numbers, truth values, dates, times and decimals: as the column stores it.
    case integer(Int64)
    /// Of numbers with a point.
    case number(Double)
    /// Of texts, ordered by their bytes.
    case text(String)

    /// Reads a number or a text.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else {
            self = .text(try container.decode(String.self))
        }
    }

    /// Writes a number or a text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        }
    }

    /// -1, 0 or 1: how it stands to another one; nil for a value of another kind, or what is no number.
    func order(to other: ColumnValue) -> Int? {
        switch (self, other) {
        case (.integer(let left), .integer(let right)): return left < right ? -1 : left == right ? 0 : 1
        case (.text(let left), .text(let right)):
            // Swift compares characters; the columns' order is that of bytes.
            if left.utf8.elementsEqual(right.utf8) { return 0 }
            return left.utf8.lexicographicallyPrecedes(right.utf8) ? -1 : 1
        case (.text, _), (_, .text): return nil
        default:
            guard let left = double, let right = other.double, !left.isNaN, !right.isNaN else { return nil }
            return left < right ? -1 : left == right ? 0 : 1
        }
    }

    private var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        case .text: nil
        }
    }
}

/// The least and the greatest value of a column in a file.
public struct Bounds: Codable, Sendable, Hashable {
    /// The least value; nil where all are null, or it is not known.
    public var least: ColumnValue?
    /// The greatest value.
    public var greatest: ColumnValue?
    /// How many values are null.
    public var nulls: Int64

    enum CodingKeys: String, CodingKey {
        case nulls
        case least = "min"
        case greatest = "max"
    }

    /// What is known of a column.
    public init(least: ColumnValue?, greatest: ColumnValue?, nulls: Int64 = 0) {
        self.least = least
        self.greatest = greatest
        self.nulls = nulls
    }
}

/// The rows of a table that new ones take the place of: comparisons of partition columns with values, joined by and and or.
public indirect enum OverwriteFilter: Sendable, Equatable {
    /// A comparison's operator.
    public enum Operator: String, Codable, Sendable, CaseIterable {
        case equal = "="
        case unequal = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case oneOf = "in"
        case noneOf = "not in"
    }

    /// A column compared with a value, or with several for `oneOf` and `noneOf`.
    case comparison(column: String, Operator, [ColumnValue])
    /// True where all its parts are.
    case every([OverwriteFilter])
    /// True where one of its parts is.
    case some([OverwriteFilter])

    /// How many of a file's rows meet it.
    public enum Extent: Equatable, Sendable {
        case none, some, all
    }

    /// How many rows of a file meet it, as far as its bounds tell: `some` where they leave it open.
    ///
    /// - Parameter partitions: the table's, which the file's bounds are of.
    public func extent(in file: DataFile, partitions: [Partition]) -> Extent {
        if file.rows == 0 { return .none }
        switch self {
        case .comparison(let column, let op, let values):
            guard let place = partitions.firstIndex(where: { $0.column == column }), place < file.bounds.count else {
                return .some
            }
            return Self.extent(op, values, file.bounds[place], rows: file.rows)
        case .every(let parts):
            let found = parts.map { $0.extent(in: file, partitions: partitions) }
            return found.contains(.none) ? .none : found.allSatisfy { $0 == .all } ? .all : .some
        case .some(let parts):
            let found = parts.map { $0.extent(in: file, partitions: partitions) }
            return found.contains(.all) ? .all : found.allSatisfy { $0 == .none } ? .none : .some
        }
    }

    private static func extent(_ op: Operator, _ values: [ColumnValue], _ bounds: Bounds, rows: Int64) -> Extent {
        // A comparison with null is not true.
        if bounds.nulls >= rows { return .none }
        guard let least = bounds.least, let greatest = bounds.greatest else { return .some }
        var each: [Extent] = []
        for value in values {
            guard let low = least.order(to: value), let high = greatest.order(to: value) else { return .some }
            each.append(extent(op, low: low, high: high))
        }
        var found: Extent
        switch op {
        case .oneOf: found = each.contains(.all) ? .all : each.allSatisfy { $0 == .none } ? .none : .some
        case .noneOf: found = each.contains(.none) ? .none : each.allSatisfy { $0 == .all } ? .all : .some
        default: found = each.first ?? .some
        }
        if found == .all, bounds.nulls > 0 { found = .some }
        return found
    }

    /// The same for one value, by how the least and the greatest value stand to it.
    private static func extent(_ op: Operator, low: Int, high: Int) -> Extent {
        switch op {
        case .equal, .oneOf: low == 0 && high == 0 ? .all : low > 0 || high < 0 ? .none : .some
        case .unequal, .noneOf: low > 0 || high < 0 ? .all : low == 0 && high == 0 ? .none : .some
        case .less: high < 0 ? .all : low >= 0 ? .none : .some
        case .lessOrEqual: high <= 0 ? .all : low > 0 ? .none : .some
        case .greater: low > 0 ? .all : high <= 0 ? .none : .some
        case .greaterOrEqual: low >= 0 ? .all : high < 0 ? .none : .some
        }
    }
}

extension OverwriteFilter: Codable {
    private enum CodingKeys: String, CodingKey {
        case column, op, values, and, or
    }

    /// Reads `{"column":…,"op":…,"values":[…]}`, `{"and":[…]}` or `{"or":[…]}`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        if let parts = try container.decodeIfPresent([OverwriteFilter].self, forKey: .and) {
            self = .every(parts)
        } else if let parts = try container.decodeIfPresent([OverwriteFilter].self, forKey: .or) {
            self = .some(parts)
        } else {
            let values = try container.decode([ColumnValue].self, forKey: .values)
            guard !values.isEmpty else {
                throw DecodingError.dataCorruptedError(
                    forKey: .values, in: container, debugDescription: "a comparison with nothing")
            }
            self = .comparison(
                column: try container.decode(String.self, forKey: .column),
                try container.decode(Operator.self, forKey: .op), values)
        }
    }

    /// Writes the same.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .every(let parts): try container.encode(parts, forKey: .and)
        case .some(let parts): try container.encode(parts, forKey: .or)
        case .comparison(let column, let op, let values):
            try container.encode(column, forKey: .column)
            try container.encode(op, forKey: .op)
            try container.encode(values, forKey: .values)
        }
    }
}
