/// The catalog of DeCache: which columns scans have decoded, and which they are decoding. It holds no memory and does no I/O.
///
/// A worker asks once for the units it wants. It is answered as soon as nobody else decodes any of them: with the pieces that
/// hold the units that are there, while the rest becomes its claim. It then decodes its claim and waits for nothing, so that
/// every wait ends; and since a claim meets neither a piece nor another claim, no unit is decoded twice. A request may overtake a
/// waiting one only if the two lack no unit in common.
///
/// Whoever owns it gives a worker's answer at once, lends it the pieces, releases what `takeReleased` gives, and asks for
/// `answers` after each call that changes something.
public final class DeCache {
    /// A table of the store that holds a block.
    public struct Piece: Sendable, Equatable {
        /// The table: a row for each of its groups' rows, in the groups' order.
        public let table: TableID
        /// The units that the table holds.
        public let block: ScanBlock

        /// A table and its block.
        public init(table: TableID, block: ScanBlock) {
            self.table = table
            self.block = block
        }
    }

    /// The answer to a worker: the pieces that hold units it wants. The wanted units that no piece holds are its claim.
    public struct Answer: Sendable, Equatable {
        /// The worker that asked.
        public let worker: BorrowerID
        /// Each piece holds some wanted unit that no piece before it holds.
        public let pieces: [Piece]
    }

    /// Counts of what the cache has done, in units. A unit is one column of one row group.
    public struct Figures: Sendable, Equatable {
        /// Units given to workers that wanted them.
        public var reusedUnits = 0
        /// Units left to workers to decode.
        public var claimedUnits = 0
        /// Units taken in.
        public var addedUnits = 0
        /// How often a worker had to wait for another.
        public var waits = 0
    }

    private struct Entry {
        let piece: Piece
        /// The value of `use` when it was last taken in or given out.
        var use: UInt64
    }

    private struct Request {
        let worker: BorrowerID
        let wants: [ScanBlock]
        var hasWaited = false
    }

    private var held: [TableID: Entry] = [:]
    /// The tables that hold something of a file, by its path, largest block first.
    private var tables: [String: [TableID]] = [:]
    /// Requests that aren't answered yet, in the order of asking.
    private var waiting: [Request] = []
    private var claims: [BorrowerID: ScanUnits] = [:]
    private var released: [TableID] = []
    private var use: UInt64 = 0
    /// What it has done so far.
    public private(set) var figures = Figures()

    /// An empty cache.
    public init() {}

    // MARK: - Workers

    /// Takes in a worker's request, which `answers` answers. Pieces of older files at the same paths are forgotten.
    ///
    /// Traps when the worker has asked before: its owner looks at `hasAsked`, as workers may send anything.
    public func ask(_ wants: [ScanBlock], for worker: BorrowerID) {
        precondition(!hasAsked(worker), "worker \(worker) has asked already")
        waiting.append(Request(worker: worker, wants: wants))
        for block in wants { forgetOlder(than: block.file) }
    }

    /// Whether a worker waits for an answer, or was given one and has not ended.
    public func hasAsked(_ worker: BorrowerID) -> Bool {
        claims[worker] != nil || waiting.contains { $0.worker == worker }
    }

    /// The answers that can be given now, in the order of asking. Each is given once; from then on the worker decodes what it lacks.
    public func answers() -> [Answer] {
        if waiting.isEmpty { return [] }
        var ahead = claims.values.reduce(into: ScanUnits()) { $0.formUnion($1) }
        var answers: [Answer] = []
        var left: [Request] = []
        for var request in waiting {
            let (pieces, wanted, missing) = find(request.wants)
            if missing.meets(ahead) {
                if !request.hasWaited { figures.waits += 1 }
                request.hasWaited = true
                left.append(request)
            } else {
                claims[request.worker] = missing
                figures.claimedUnits += missing.count
                figures.reusedUnits += wanted - missing.count
                use += 1
                for piece in pieces { held[piece.table]?.use = use }
                answers.append(Answer(worker: request.worker, pieces: pieces))
            }
            ahead.formUnion(missing)
        }
        waiting = left
        return answers
    }

    /// Takes in the pieces that a worker has decoded, once its tables are published and it is dead: its claim ends.
    ///
    /// What was not its to decode is released, and so are pieces of a file of which newer ones are there.
    public func add(_ pieces: [Piece], by worker: BorrowerID) {
        var claim = claims[worker] ?? ScanUnits()
        use += 1
        for piece in pieces {
            precondition(held[piece.table] == nil, "table \(piece.table) is a piece already")
            forgetOlder(than: piece.block.file)
            guard claim.holds(piece.block), !isReplaced(piece.block.file) else {
                released.append(piece.table)
                continue
            }
            _ = claim.remove(piece.block)
            held[piece.table] = Entry(piece: piece, use: use)
            file(piece)
            figures.addedUnits += piece.block.units
        }
        end(worker)
    }

    /// A worker has ended, in whatever way: it waits and claims no more. Nothing happens where it did neither.
    public func end(_ worker: BorrowerID) {
        claims[worker] = nil
        waiting.removeAll { $0.worker == worker }
    }

    // MARK: - Pieces

    /// The tables of all pieces, the one that was not used for longest first.
    public var leastRecentlyUsed: [TableID] {
        held.values.sorted { ($0.use, $0.piece.table) < ($1.use, $1.piece.table) }.map(\.piece.table)
    }

    /// How many pieces there are.
    public var count: Int { held.count }

    /// The units that a table holds; nil when it is no piece.
    public func block(of table: TableID) -> ScanBlock? { held[table]?.piece.block }

    /// Forgets a piece that is evicted; its table is the caller's to release. Nothing happens where it is none.
    public func remove(_ table: TableID) {
        guard let entry = held.removeValue(forKey: table) else { return }
        let path = entry.piece.block.file.path
        tables[path]?.removeAll { $0 == table }
        if tables[path]?.isEmpty == true { tables[path] = nil }
    }

    /// Forgets every piece; their tables are among those to release.
    public func removeAll() {
        released += held.keys.sorted()
        held = [:]
        tables = [:]
    }

    /// The tables that the cache let go of since the last call, for the caller to release.
    public func takeReleased() -> [TableID] {
        defer { released = [] }
        return released
    }

    /// Enters a piece among those of its file, behind all that are no smaller.
    private func file(_ piece: Piece) {
        let others = tables[piece.block.file.path] ?? []
        let place = others.firstIndex { (held[$0]?.piece.block.units ?? 0) < piece.block.units } ?? others.count
        tables[piece.block.file.path, default: []].insert(piece.table, at: place)
    }

    /// Forgets the pieces of an older file at the same path: of another file, or of the same one with other content.
    ///
    /// A run that was planned before the file changed may still come: what it asks for is not what is there.
    private func forgetOlder(than file: FileIdentity) {
        for table in tables[file.path] ?? [] {
            guard let other = held[table]?.piece.block.file, other != file else { continue }
            if other.ctimeNanoseconds <= file.ctimeNanoseconds {
                remove(table)
                released.append(table)
            }
        }
    }

    /// Whether another file at the same path has pieces; after `forgetOlder` these are newer.
    private func isReplaced(_ file: FileIdentity) -> Bool {
        (tables[file.path] ?? []).contains { held[$0]?.piece.block.file != file }
    }

    /// The pieces that hold some wanted unit, the number of wanted units, and the wanted units that no piece holds.
    private func find(_ wants: [ScanBlock]) -> (pieces: [Piece], wanted: Int, missing: ScanUnits) {
        var missing = wants.reduce(into: ScanUnits()) { $0.insert($1) }
        let wanted = missing.count
        var paths: Set<String> = []
        var pieces: [Piece] = []
        for block in wants where paths.insert(block.file.path).inserted {
            for table in tables[block.file.path] ?? [] {
                guard let piece = held[table]?.piece else { preconditionFailure("a piece that is filed is gone") }
                if missing.remove(piece.block) { pieces.append(piece) }
            }
        }
        return (pieces, wanted, missing)
    }
}
