import System

/// Which table names which bytes of a segment, kept up to date as tables come and go.
///
/// A change costs what the changed table names, and what lies between its first and its last byte, however many tables the segment has.
struct Sharing {
    /// By bytes, and by the whole pages that these are in.
    private var bytes = SharedPieces()
    private var pages = SharedPieces()
    /// The tables, the oldest first.
    private var tables: [TableID] = []

    /// The bytes that a table names and no older table does, by table; none for tables that are not there.
    var chargedBytes: [TableID: Int] { bytes.charged }

    /// All bytes that some table names.
    var named: RangeSet { bytes.union }

    /// Takes in a table with what it names of the segment.
    ///
    /// - Returns: the other tables whose figures are different from now on.
    mutating func add(_ table: TableID, _ ranges: RangeSet) -> Set<TableID> {
        tables.insert(table, at: place(of: table))
        return bytes.add(table, ranges).union(pages.add(table, ranges.inWholePages()))
    }

    /// Removes a table with what it named of the segment.
    ///
    /// - Parameter rangesOf: what each table that stays names of the segment; asked only when nothing else tells who is charged.
    /// - Returns: the other tables whose figures are different from now on.
    mutating func remove(_ table: TableID, _ ranges: RangeSet, rangesOf: (TableID) -> RangeSet) -> Set<TableID> {
        tables.remove(at: place(of: table))
        return bytes.remove(table, ranges, others: tables, rangesOf).union(
            pages.remove(table, ranges.inWholePages(), others: tables) { rangesOf($0).inWholePages() })
    }

    /// The place of a table, or where it is to be put.
    private func place(of table: TableID) -> Int {
        var (low, high) = (0, tables.count)
        while low < high {
            let middle = (low + high) / 2
            if tables[middle] < table { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The pages that the table alone names: they are free when it goes, where a segment can be punched.
    ///
    /// - Parameter ranges: what it names.
    func exclusive(of ranges: RangeSet) -> RangeSet { pages.alone(in: ranges.inWholePages()) }

    /// How many bytes of pages a table alone names.
    func exclusiveBytes(of table: TableID) -> Int { pages.alone[table] ?? 0 }
}

/// The union of the ranges of several tables, cut wherever a range of one begins or ends.
private struct SharedPieces {
    /// A piece that all of its owners name whole. Pieces don't overlap and ascend.
    private struct Piece {
        var range: Range<Int>
        /// How many tables name it.
        var count = 0
        /// The numbers of its owners, combined by exclusive or: the owner's number where there is one.
        var owners: UInt64 = 0
        /// The owner that it is charged to: the oldest.
        var oldest = UInt64.max
    }

    /// Sums of bytes by table; no table has a sum of 0.
    private struct Sums {
        private(set) var bytes: [TableID: Int] = [:]

        mutating func add(_ count: Int, to table: UInt64) {
            let sum = bytes[TableID(rawValue: table), default: 0] + count
            bytes[TableID(rawValue: table)] = sum == 0 ? nil : sum
        }
    }

    private var pieces: [Piece] = []
    /// With more pieces than this, the borders of tables that are gone are taken out.
    private var piecesMax = 64
    private var chargedSums = Sums()
    private var aloneSums = Sums()

    /// The bytes of which each table is the oldest owner.
    var charged: [TableID: Int] { chargedSums.bytes }

    /// The bytes of which each table is the only owner.
    var alone: [TableID: Int] { aloneSums.bytes }

    var union: RangeSet {
        var set = RangeSet()
        for piece in pieces { set.append(piece.range) }
        return set
    }

    mutating func add(_ table: TableID, _ ranges: RangeSet) -> Set<TableID> {
        let number = table.rawValue
        var changed: Set<UInt64> = []
        cut(along: ranges)
        for place in places(in: ranges) {
            let piece = pieces[place]
            let bytes = piece.range.count
            pieces[place].count += 1
            pieces[place].owners ^= number
            switch piece.count {
            case 0: aloneSums.add(bytes, to: number)
            case 1:
                aloneSums.add(-bytes, to: piece.owners)
                changed.insert(piece.owners)
            default: break
            }
            guard number < piece.oldest else { continue }
            if piece.count > 0 {
                chargedSums.add(-bytes, to: piece.oldest)
                changed.insert(piece.oldest)
            }
            chargedSums.add(bytes, to: number)
            pieces[place].oldest = number
        }
        return Set(changed.lazy.map { TableID(rawValue: $0) })
    }

    /// - Parameter others: the tables that stay, the oldest first.
    mutating func remove(
        _ table: TableID, _ ranges: RangeSet, others: [TableID], _ rangesOf: (TableID) -> RangeSet
    ) -> Set<TableID> {
        let number = table.rawValue
        var changed: Set<UInt64> = []
        var orphans = RangeSet()
        let first = ranges.bounds.map { firstPlace(endingAfter: $0.lowerBound) } ?? 0
        for place in places(in: ranges) {
            pieces[place].count -= 1
            pieces[place].owners ^= number
            let piece = pieces[place]
            let bytes = piece.range.count
            if piece.count == 0 { aloneSums.add(-bytes, to: number) }
            if piece.oldest == number { chargedSums.add(-bytes, to: number) }
            if piece.count == 1 {
                aloneSums.add(bytes, to: piece.owners)
                changed.insert(piece.owners)
            }
            if piece.oldest == number, piece.count > 0 { orphans.append(piece.range) }
        }
        if let bounds = ranges.bounds {
            let end = firstPlace(endingAfter: bounds.upperBound - 1)
            let kept = pieces[first..<min(end + 1, pieces.count)].filter { $0.count > 0 }
            pieces.replaceSubrange(first..<min(end + 1, pieces.count), with: kept)
        }
        if !orphans.isEmpty { adopt(orphans, others, rangesOf, &changed) }
        if pieces.count > piecesMax { rebuild(others, rangesOf) }
        return Set(changed.lazy.map { TableID(rawValue: $0) })
    }

    /// Charges pieces whose oldest owner is gone to the next one.
    private mutating func adopt(
        _ orphans: RangeSet, _ others: [TableID], _ rangesOf: (TableID) -> RangeSet, _ changed: inout Set<UInt64>
    ) {
        var left = orphans
        for table in others {
            let taken = left.intersection(rangesOf(table))
            if taken.isEmpty { continue }
            for place in places(in: taken) {
                pieces[place].oldest = table.rawValue
                chargedSums.add(pieces[place].range.count, to: table.rawValue)
            }
            changed.insert(table.rawValue)
            left = left.subtracting(taken)
            if left.isEmpty { return }
        }
    }

    /// Begins anew, without the borders of tables that are gone.
    private mutating func rebuild(_ tables: [TableID], _ rangesOf: (TableID) -> RangeSet) {
        self = SharedPieces()
        for table in tables { _ = add(table, rangesOf(table)) }
        piecesMax = max(64, 2 * pieces.count)
    }

    /// The parts of a set that have one owner.
    func alone(in ranges: RangeSet) -> RangeSet {
        RangeSet(places(in: ranges).filter { pieces[$0].count == 1 }.map { pieces[$0].range })
    }

    /// Cuts pieces where ranges of the set begin and end, and makes pieces without owners of what no piece has.
    private mutating func cut(along set: RangeSet) {
        guard let bounds = set.bounds else { return }
        let first = firstPlace(endingAfter: bounds.lowerBound)
        var place = first
        var made: [Piece] = []
        for range in set.ranges {
            while place < pieces.count, pieces[place].range.upperBound <= range.lowerBound {
                made.append(pieces[place])
                place += 1
            }
            var start = range.lowerBound
            while place < pieces.count, pieces[place].range.lowerBound < range.upperBound {
                var piece = pieces[place]
                let old = piece.range
                if old.lowerBound < start {
                    // The part before this range; none where the last range has taken it.
                    piece.range = old.lowerBound..<start
                    made.append(piece)
                } else if start < old.lowerBound {
                    made.append(Piece(range: start..<old.lowerBound))
                }
                let end = min(old.upperBound, range.upperBound)
                piece.range = max(start, old.lowerBound)..<end
                made.append(piece)
                start = end
                if end < old.upperBound {
                    // The rest is looked at again for the next range.
                    pieces[place].range = end..<old.upperBound
                    break
                }
                place += 1
            }
            if start < range.upperBound { made.append(Piece(range: start..<range.upperBound)) }
        }
        pieces.replaceSubrange(first..<place, with: made)
    }

    /// The places of the pieces that lie in a set along whose ranges they are cut.
    private func places(in set: RangeSet) -> [Int] {
        guard let bounds = set.bounds else { return [] }
        var result: [Int] = []
        var place = firstPlace(endingAfter: bounds.lowerBound)
        for range in set.ranges {
            while place < pieces.count, pieces[place].range.upperBound <= range.lowerBound { place += 1 }
            while place < pieces.count, pieces[place].range.lowerBound < range.upperBound {
                result.append(place)
                place += 1
            }
        }
        return result
    }

    /// The first piece that ends after an offset.
    private func firstPlace(endingAfter offset: Int) -> Int {
        var (low, high) = (0, pieces.count)
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].range.upperBound <= offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension SegmentStore {
    /// The bytes of pages that only this table names: its release frees them, where segments can be punched.
    public func exclusiveBytes(of table: TableID) -> Int {
        guard let entry = tables[table] else { preconditionFailure("table \(table) is gone") }
        return entry.named.keys.reduce(0) { $0 + (segments[$1]?.sharing.exclusiveBytes(of: table) ?? 0) }
    }

    /// Has a table name bytes of a segment.
    func add(_ table: TableID, naming ranges: RangeSet, to segment: Segment) {
        segment.tables.insert(table)
        segment.named = segment.named.union(ranges)
        changedTables.formUnion(segment.sharing.add(table, ranges))
        changedTables.insert(table)
    }

    /// Has a table name nothing of a segment any more; the bytes that nobody names now stay in the segment's `named` until they are given back.
    func remove(_ table: TableID, naming ranges: RangeSet, from segment: Segment) {
        segment.tables.remove(table)
        let changed = segment.sharing.remove(table, ranges) { tables[$0]?.named[segment.id] ?? RangeSet() }
        changedTables.formUnion(changed)
        changedTables.insert(table)
    }

    /// The tables of which something has changed since the last call that their memory, or their readers, depend on. Tables that are gone may
    /// be among them.
    public func takeChangedTables() -> Set<TableID> {
        defer { changedTables = [] }
        return changedTables
    }
}
