extension SegmentStore {
    /// Begins to read a table back into memory. It is pinned until `finish`.
    ///
    /// - Parameter table: a table that is on a disk, wholly or in part.
    /// - Returns: the work, for a thread that may wait.
    /// - Throws: `unsuitable` when nothing of the table is on a disk.
    public func beginRestore(_ table: TableID) throws(StoreError) -> MoveWork {
        let disk = diskSegments(of: table)
        guard !disk.isEmpty else { throw StoreError(.unsuitable, nil, "table \(table) is in memory already") }
        var wanted: [SegmentID: RangeSet] = [:]
        for id in disk { wanted[id] = tables[table]?.named[id] }
        let gathering = CopyToMemory(
            movers: pin(table, "restore"), lock: lock, wanted: wanted,
            task: "reading table \(table) back from the disk")
        return MoveWork(.restore, gathering.movers, bytes: gathering.bytes) { () throws(StoreError) in
            try gathering.read()
        }
    }
}
