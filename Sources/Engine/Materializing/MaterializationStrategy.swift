import Catalog

/// What becomes of the rows that a table of the catalog has when a model's come, as a project writes it.
enum MaterializationStrategy: String, Sendable {
    case replace = "REPLACE"
    case append = "APPEND"
    case overwritePartitions = "OVERWRITE_PARTITIONS"
}

extension Plan.Model {
    /// The catalog's table that it writes to, and how; nil for all but materializations. The plan was checked.
    var target: (table: TableName, strategy: MaterializationStrategy)? {
        guard let materialize, let table = TableName(materialize.table),
            let strategy = MaterializationStrategy(rawValue: materialize.strategy)
        else { return nil }
        return (table, strategy)
    }
}
