import FoundationEssentials
import SeededNumbers
import Testing

@testable import Catalog

@Suite struct CatalogStateTests {
    private static let table = TableName("shop.sales")!
    private static let fields = [Field(name: "day", type: "int64"), Field(name: "v", type: "int64")]
    private static let partitions = [Partition(column: "day")]

    /// A file of some rows that have one value of `day`.
    private static func file(_ path: String, day: Int64, rows: Int64 = 1) -> DataFile {
        DataFile(
            path: path, rows: rows, bytes: 1, partition: ["\(day)"],
            bounds: [Bounds(least: .integer(day), greatest: .integer(day))])
    }

    private static func change(_ strategy: TableChange.Strategy, _ files: [DataFile]) -> TableChange {
        TableChange(table, strategy, fields: fields, partitions: partitions, files: files)
    }

    /// Any order of commits leaves the rows that a plain list of rows has after the same changes, and forgets no file that went.
    @Test(arguments: 0..<200 as Range<UInt64>) func commitsInAnyOrderLeaveWhatAPlainListHas(seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        var state = CatalogState()
        var rows: [(day: Int64, path: String)] = []
        var everMade: Set<String> = []
        for step in 0..<30 {
            let new = (0..<random.below(4)).map { number in
                Self.file("a/b/\(step)-\(number).parquet", day: Int64(random.below(6)))
            }
            let newRows = new.map { (Int64($0.partition[0]!)!, $0.path) }
            let bound = Int64(random.below(6))
            let kind = random.below(5)
            switch kind {
            case 0:
                rows = newRows
                state = try state.applying([Self.change(.replace, new)], at: 0)
            case 1:
                rows += newRows
                state = try state.applying([Self.change(.append, new)], at: 0)
            case 2:
                rows = rows.filter { row in !newRows.contains { $0.0 == row.day } } + newRows
                state = try state.applying(
                    [Self.change(.overwritePartitions(nil, rewritten: []), new)], at: 0)
            case 3:
                let filter = OverwriteFilter.comparison(column: "day", .less, [.integer(bound)])
                rows = rows.filter { $0.day >= bound } + newRows
                state = try state.applying(
                    [Self.change(.overwritePartitions(filter, rewritten: []), new)], at: 0)
            default:
                guard state.tables[Self.table] != nil else { continue }
                rows = []
                state = try state.applying([Self.change(.drop, [])], at: 0)
            }
            everMade.formUnion(new.map(\.path))
            let files = state.tables[Self.table]?.files ?? []
            let expected = rows.map(\.path).sorted()
            #expect(files.filter { $0.rows > 0 }.map(\.path).sorted() == expected, "seed \(seed), step \(step)")
            let known = Set(files.map(\.path)).union(state.retired.map(\.path))
            #expect(known.isSubset(of: everMade))
            #expect(Set(state.retired.map(\.path)).isDisjoint(with: files.map(\.path)), "seed \(seed)")
        }
    }

    /// What bounds tell of a file is never more than its rows bear out.
    @Test(arguments: 0..<500 as Range<UInt64>) func boundsTellNoMoreThanTheRowsBearOut(seed: UInt64) {
        var random = RandomSource(seed: seed)
        func filter(_ depth: Int) -> OverwriteFilter {
            if depth > 0, random.once(in: 2) {
                let parts = (0...random.below(3)).map { _ in filter(depth - 1) }
                return random.once(in: 2) ? .every(parts) : .some(parts)
            }
            let op = OverwriteFilter.Operator.allCases[random.below(8)]
            let count = op == .oneOf || op == .noneOf ? 1 + random.below(3) : 1
            return .comparison(column: "day", op, (0..<count).map { _ in .integer(Int64(random.below(6))) })
        }
        let condition = filter(3)
        let values: [Int64?] = (0...random.below(4)).map { _ in random.once(in: 5) ? nil : Int64(random.below(6)) }
        let present = values.compactMap(\.self)
        let file = DataFile(
            path: "", rows: Int64(values.count), bytes: 0, partition: [nil],
            bounds: [
                Bounds(
                    least: present.min().map { .integer($0) }, greatest: present.max().map { .integer($0) },
                    nulls: Int64(values.count - present.count))
            ])
        let met = values.filter { Self.isMet(condition, $0) ?? false }.count
        switch condition.extent(in: file, partitions: Self.partitions) {
        case .all: #expect(met == values.count, "seed \(seed)")
        case .none: #expect(met == 0, "seed \(seed)")
        case .some: break
        }
        // Of one value, nothing is left open.
        if Set(values).count == 1 {
            #expect(condition.extent(in: file, partitions: Self.partitions) != .some, "seed \(seed)")
        }
    }

    /// Three-valued logic, as SQL has it.
    private static func isMet(_ filter: OverwriteFilter, _ value: Int64?) -> Bool? {
        switch filter {
        case .every(let parts):
            let found = parts.map { isMet($0, value) }
            return found.contains(false) ? false : found.contains(nil) ? nil : true
        case .some(let parts):
            let found = parts.map { isMet($0, value) }
            return found.contains(true) ? true : found.contains(nil) ? nil : false
        case .comparison(_, let op, let values):
            guard let value else { return nil }
            let others = values.map { other -> Int64 in
                if case .integer(let number) = other { number } else { 0 }
            }
            return switch op {
            case .equal, .oneOf: others.contains(value)
            case .unequal, .noneOf: !others.contains(value)
            case .less: value < others[0]
            case .lessOrEqual: value <= others[0]
            case .greater: value > others[0]
            case .greaterOrEqual: value >= others[0]
            }
        }
    }

    @Test func aPartOfAFileIsOverwrittenOnlyByWhoHasWrittenItsRestAnew() throws {
        let wide = DataFile(
            path: "a/b/wide.parquet", rows: 2, bytes: 1, partition: ["1"],
            bounds: [Bounds(least: .integer(1), greatest: .integer(3))])
        let state = try CatalogState().applying([Self.change(.append, [wide])], at: 0)
        let filter = OverwriteFilter.comparison(column: "day", .equal, [.integer(2)])
        let new = [Self.file("a/b/new.parquet", day: 2)]
        let blind = #expect(throws: CatalogError.self) {
            _ = try state.applying([Self.change(.overwritePartitions(filter, rewritten: []), new)], at: 0)
        }
        #expect(blind?.kind == .conflict)
        let change = Self.change(.overwritePartitions(filter, rewritten: [wide.path]), new)
        let after = try state.applying([change], at: 0)
        #expect(after.tables[Self.table]?.files == new)
        // The file is gone, as another run has replaced the table: the rows that were taken over would come again.
        let replaced = try state.applying([Self.change(.replace, [])], at: 0)
        let late = #expect(throws: CatalogError.self) { _ = try replaced.applying([change], at: 0) }
        #expect(late?.kind == .conflict)
    }

    @Test func whatDoesNotFitIsRefusedWithAReason() throws {
        let state = try CatalogState().applying([Self.change(.append, [Self.file("a/b/c.parquet", day: 1)])], at: 0)
        for (fields, word) in [
            ([Field(name: "day", type: "string"), Self.fields[1]], "type"),
            (Self.fields + [Field(name: "more", type: "int64")], "no column 'more'"),
        ] {
            var change = Self.change(.append, [])
            change.fields = fields
            let error = #expect(throws: CatalogError.self) { _ = try state.applying([change], at: 0) }
            #expect(error?.kind == .incompatible && error?.description.contains(word) == true)
        }
        var change = Self.change(.append, [])
        change.partitions = [Partition(column: "day", transform: "truncate", width: 4)]
        let error = #expect(throws: CatalogError.self) { _ = try state.applying([change], at: 0) }
        #expect(error?.description.contains("TRUNCATE(4, day)") == true)
        // Columns that may have nulls may be missing.
        var fewer = Self.change(.append, [Self.file("a/b/d.parquet", day: 2)])
        fewer.fields = [Self.fields[0]]
        #expect(try state.applying([fewer], at: 0).tables[Self.table]?.fields == Self.fields)
    }

    @Test func tableNamesBecomeFoldersThatStayInTheWarehouse() throws {
        for text in ["..", "/", "a/b", "'", " ", "é", "..\u{2f}", "%2F", String(repeating: "ü", count: 127), "-", "A"] {
            guard let name = TableName(namespace: "ns", name: text) else {
                #expect(text.contains("."))
                continue
            }
            #expect(CatalogState.isPath((name.folders + ["1.parquet"]).joined(separator: "/")), "\(name.folders)")
            #expect(name.folders[1].utf8.count <= 160)
            #expect(TableName(name.description) == name)
        }
        #expect(TableName(namespace: "", name: "a") == nil && TableName(namespace: "a", name: "a\0b") == nil)
        #expect(TableName(namespace: "a", name: String(repeating: "x", count: 256)) == nil)
        #expect(TableName("a") == nil && TableName("a.b.c") == nil)
    }
}
