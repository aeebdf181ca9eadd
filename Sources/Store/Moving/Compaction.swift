/// Compaction: rewriting sealed segments of which little is live, because no page of a sealed file can be freed otherwise.
extension SegmentStore {
    /// A sealed segment is worth rewriting when more than this is dead in it, in bytes…
    public static let compactionDeadBytesMin = 16 << 20
    /// …and less than one part in this many is live.
    public static let compactionLiveShare = 4

    /// The sealed segments of which little is live, which nobody reads and which aren't being rewritten. Segments with the other
    /// lock can be punched, and need no copy.
    public func compactable() throws(StoreError) -> [SegmentID] {
        var result: [SegmentID] = []
        let sealed = segments.values.filter {
            $0.lock == .sealed && $0.phase == .published && $0.place == .memory && !$0.isBeingRewritten
        }
        for segment in sealed {
            if segment.tables.contains(where: { tables[$0]?.readers.isEmpty == false }) { continue }
            let (live, resident) = (segment.named.bytes, try segment.residentBytes())
            if resident - live > Self.compactionDeadBytesMin, live < resident / Self.compactionLiveShare {
                result.append(segment.id)
            }
        }
        return result.sorted()
    }

    /// Whether a segment of a table is being rewritten: if the table is lent meanwhile, it stays where it is.
    public func isBeingRewritten(_ table: TableID) -> Bool {
        tables[table]?.named.keys.contains { segments[$0]?.isBeingRewritten == true } ?? false
    }

    /// Begins to rewrite the live bytes of a segment into a new one, so that the old one can go: all its tables move, or none.
    ///
    /// No table is pinned, because nobody can change a sealed segment and the work holds its file. The tables can be lent,
    /// released and moved meanwhile; if one of them is lent when the work ends, none moves.
    ///
    /// - Parameter id: a segment that `compactable` returned.
    /// - Returns: the work, for a thread that may wait.
    /// - Throws: `unsuitable`.
    public func beginCompaction(_ id: SegmentID) throws(StoreError) -> MoveWork {
        guard let segment = segments[id], segment.lock == .sealed, segment.place == .memory else {
            preconditionFailure("segment \(id) can't be rewritten")
        }
        guard let first = segment.tables.sorted().first(where: { tables[$0]?.named[id]?.isEmpty == false }) else {
            throw StoreError(.unsuitable, id, "no table names anything of it")
        }
        let movers = movers(of: first, files: [id], pin: nil)
        let gathering = CopyToMemory(
            movers: movers, lock: lock, wanted: [id: segment.named], task: "rewriting segment \(id)")
        segment.isBeingRewritten = true
        return MoveWork(.compaction, movers, bytes: gathering.bytes, vacated: id) { () throws(StoreError) in
            try gathering.read()
        }
    }
}
