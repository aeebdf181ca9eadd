import System

/// Which table names which bytes of a segment: computed at once for all its tables, when these have changed.
struct Sharing {
    /// Pages that one table alone names, by table: they are free when it goes, where a segment can be punched.
    private(set) var exclusive: [TableID: RangeSet] = [:]
    /// The bytes that a table names and no older table does.
    private(set) var chargedBytes: [TableID: Int] = [:]

    /// Computed from the ranges that each table names. O(n log n) in the number of ranges, however many tables they are of.
    init(_ named: [(table: TableID, ranges: RangeSet)]) {
        let sorted = named.sorted { $0.table < $1.table }
        Self.forEachPiece(of: sorted.map(\.ranges)) { piece, first, _ in
            chargedBytes[sorted[first].table, default: 0] += piece.count
        }
        var alone = [[Range<Int>]](repeating: [], count: sorted.count)
        Self.forEachPiece(of: sorted.map { $0.ranges.inWholePages() }) { piece, first, isShared in
            if !isShared { alone[first].append(piece) }
        }
        for (entry, pieces) in zip(sorted, alone) { exclusive[entry.table] = RangeSet(pieces) }
    }

    /// Cuts the union of some sets wherever a range of one begins or ends.
    ///
    /// - Parameter body: is given each piece with the first set that has it, and whether another has it too; those of one set
    ///   ascend.
    private static func forEachPiece(of sets: [RangeSet], _ body: (Range<Int>, Int, Bool) -> Void) {
        let cuts = Set(sets.lazy.flatMap { $0.ranges.lazy.flatMap { [$0.lowerBound, $0.upperBound] } }).sorted()
        let places = Dictionary(uniqueKeysWithValues: zip(cuts, cuts.indices))
        // The number of sets that have the piece at a cut, less that of the piece before it.
        var steps = [Int](repeating: 0, count: cuts.count)
        for range in sets.lazy.flatMap(\.ranges) {
            steps[places[range.lowerBound]!] += 1
            steps[places[range.upperBound]!] -= 1
        }
        var counts = steps
        for index in counts.indices.dropFirst() { counts[index] += counts[index - 1] }
        // Union-find over the pieces: `next[i]` leads to the first piece at or after `i` that no set has taken yet; `free` halves
        // the path.
        var next = Array(0...cuts.count)
        func free(from start: Int) -> Int {
            var end = start
            while next[end] != end {
                next[end] = next[next[end]]
                end = next[end]
            }
            return end
        }
        for (number, set) in sets.enumerated() {
            for range in set.ranges {
                let end = places[range.upperBound]!
                var piece = free(from: places[range.lowerBound]!)
                while piece < end {
                    body(cuts[piece]..<cuts[piece + 1], number, counts[piece] > 1)
                    next[piece] = piece + 1
                    piece = free(from: piece)
                }
            }
        }
    }
}

extension SegmentStore {
    /// The bytes of pages that only this table names: its release frees them, where segments can be punched.
    public func exclusiveBytes(of table: TableID) -> Int {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        return entry.named.keys.reduce(0) { $0 + (sharing(of: $1).exclusive[table]?.bytes ?? 0) }
    }

    /// Which table names which bytes of a segment.
    func sharing(of id: SegmentID) -> Sharing {
        guard let segment = segments[id] else { preconditionFailure("segment \(id) is gone") }
        if let known = segment.sharing { return known }
        let result = Sharing(segment.tables.map { ($0, tables[$0]?.named[id] ?? RangeSet()) })
        segment.sharing = result
        return result
    }
}
