import Catalog
import Engine
import Terminal

extension TableListing {
    /// The tables as lines with aligned columns.
    var list: String {
        let header = ["table", "rows", "bytes", "files", "partitioned by"]
        let rows = tables.map { table in
            [
                table.fullName, table.rows.map { Quantity.count($0) } ?? "-",
                table.bytes.map { Quantity.bytes(UInt64(clamping: $0)) } ?? "-",
                table.kind == "source" ? "source" : Quantity.count(Int64(table.files)),
                table.partitionedBy.joined(separator: ", "),
            ]
        }
        guard !rows.isEmpty else { return "no tables" }
        let widths = header.indices.map { place in ([header] + rows).map { $0[place].count }.max() ?? 0 }
        let lines = ([header] + rows).map { row in
            var line = ""
            for (place, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[place] - cell.count)
                // Numbers stand to the right.
                line += (1...3).contains(place) ? padding + cell + "  " : cell + padding + "  "
            }
            while line.last == " " { line.removeLast() }
            return line.linesWithoutControls(keepingColours: false)
        }
        return lines.joined(separator: "\n")
    }
}

extension TableListing.Table {
    /// The table for a person, on several lines.
    var details: String {
        var lines = [fullName + (kind == "source" ? " (a source of the project)" : "")]
        var size: [String] = []
        if let rows { size.append("\(Quantity.count(rows)) rows") }
        if let bytes { size.append(Quantity.bytes(UInt64(clamping: bytes))) }
        size.append(files == 1 ? "1 file" : "\(Quantity.count(Int64(files))) files")
        lines.append("  " + size.joined(separator: ", "))
        if !partitionedBy.isEmpty { lines.append("  partitioned by " + partitionedBy.joined(separator: ", ")) }
        let width = fields?.map(\.name.count).max() ?? 0
        for field in fields ?? [] {
            let padding = String(repeating: " ", count: width - field.name.count)
            lines.append("    \(field.name)\(padding)  \(field.type)\(field.isRequired ? ", no nulls" : "")")
        }
        for path in paths ?? [] { lines.append("  " + path) }
        return lines.map { $0.linesWithoutControls(keepingColours: false) }.joined(separator: "\n")
    }
}
