import Catalog
import FoundationEssentials

/// A worker's account of what it has written to its files, in the message `wrote`. Its figures are the worker's word.
struct WrittenTable: Sendable, Decodable {
    /// A file, by its number among those that the worker was given.
    struct File: Sendable, Decodable {
        var file: Int
        var rows: Int64
        var partition: [String?]
        var bounds: [Bounds]
    }

    /// The columns.
    var fields: [Field]
    /// How the rows are divided into files.
    var partitions: [Partition]
    /// The files.
    var files: [File]
    /// The rows of the table that these take the place of; nil: by the strategy.
    var filter: OverwriteFilter?

    /// Reads the file beside a message.
    init(_ file: ReceivedFile) throws(Malformed) {
        // Its depth and its size are checked by this.
        let value = try file.json()
        do {
            self = try JSONDecoder().decode(WrittenTable.self, from: Data(value.utf8))
        } catch {
            throw Malformed("an account of what was written that is none: \("\(error)".prefix(200))")
        }
    }

    /// Why it can't be true of so many files; nil where it can.
    func fault(fileCount: Int) -> String? {
        guard Set(files.map(\.file)).count == files.count, !files.isEmpty else { return "a file twice, or none" }
        for file in files {
            guard (0..<fileCount).contains(file.file), file.rows >= 0, file.partition.count == partitions.count,
                file.bounds.count == partitions.count
            else { return "a file with figures that make no sense" }
        }
        return nil
    }

    /// How many rows there are.
    var rows: Int64 {
        files.reduce(0) { sum, file in
            let (next, overflows) = sum.addingReportingOverflow(file.rows)
            return overflows ? .max : next
        }
    }
}
