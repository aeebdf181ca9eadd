import FoundationEssentials

@testable import Catalog

// The state of a warehouse: a file that an editor, a disk or another user may have changed. An input is a state and, behind a byte 0, a filter
// of rows to overwrite.

/// A state, and what commits make of it.
func fuzzCatalog(_ bytes: [UInt8]) {
    let parts = bytes.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
    guard let first = parts.first, let state = try? JSONDecoder().decode(CatalogState.self, from: Data(first)),
        state.fault == nil
    else { return }
    guard let written = try? JSONEncoder().encode(state) else { preconditionFailure("a state that JSON can't hold") }
    precondition((try? JSONDecoder().decode(CatalogState.self, from: written)) == state)
    let filter = parts.dropFirst().first.flatMap { try? JSONDecoder().decode(OverwriteFilter.self, from: Data($0)) }
    for (name, table) in state.tables {
        guard var file = table.files.first else { continue }
        file.path = "new/new/new.parquet"
        let strategies: [TableChange.Strategy] = [
            .replace, .append, .overwritePartitions(filter, rewritten: []), .drop,
        ]
        for strategy in strategies {
            let change = TableChange(
                name, strategy, fields: table.fields, partitions: table.partitions, files: [file])
            guard let next = try? state.applying([change], at: 1) else { continue }
            precondition(next.fault == nil && next.version == state.version + 1)
        }
    }
}
