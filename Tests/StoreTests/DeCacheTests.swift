import SeededNumbers
import Testing

@testable import Store

private func file(_ path: String = "/data/a.parquet", changed: Int64 = 1, inode: UInt64 = 7) -> FileIdentity {
    FileIdentity(
        path: path, device: 1, inode: inode, bytes: 100, mtimeNanoseconds: 1, ctimeNanoseconds: changed)
}

private func block(
    _ columns: [String], _ groups: [Range<Int>], of identity: FileIdentity = file(), read: String = "plain"
) -> ScanBlock {
    guard let block = ScanBlock(file: identity, read: read, columns: columns, groups: groups) else {
        preconditionFailure("no block")
    }
    return block
}

private func piece(_ table: UInt64, _ block: ScanBlock) -> DeCache.Piece {
    DeCache.Piece(table: TableID(rawValue: table), block: block)
}

private func table(_ number: UInt64) -> TableID { TableID(rawValue: number) }

@Suite struct DeCacheTests {
    let cache = DeCache()

    /// Has a worker decode blocks, from asking to its end.
    private func fill(_ pieces: [DeCache.Piece], by worker: BorrowerID = "first") {
        cache.ask(pieces.map(\.block), for: worker)
        #expect(cache.answers().map(\.worker) == [worker])
        cache.add(pieces, by: worker)
    }

    @Test func whoAsksFirstDecodesAllAndTheNextGetsIt() {
        let wants = [block(["a", "b"], [0..<4])]
        cache.ask(wants, for: "first")
        #expect(cache.answers() == [DeCache.Answer(worker: "first", pieces: [])])
        #expect(cache.answers().isEmpty)
        let made = piece(1, wants[0])
        cache.add([made], by: "first")
        #expect(!cache.hasAsked("first"))
        cache.ask([block(["b"], [1..<2])], for: "second")
        #expect(cache.answers() == [DeCache.Answer(worker: "second", pieces: [made])])
        #expect(cache.figures == DeCache.Figures(reusedUnits: 1, claimedUnits: 8, addedUnits: 8, waits: 0))
    }

    @Test func whoWantsWhatAnotherDecodesWaitsUntilThatHasEnded() {
        cache.ask([block(["a"], [0..<4])], for: "first")
        _ = cache.answers()
        cache.ask([block(["a", "b"], [3..<6])], for: "second")
        cache.ask([block(["b"], [0..<3])], for: "third")
        cache.ask([block(["b"], [5..<6])], for: "fourth")
        // The fourth wants nothing that is being decoded, but something that the second is to decode.
        #expect(cache.answers().map(\.worker) == ["third"])
        #expect(cache.hasAsked("second") && cache.hasAsked("fourth"))
        cache.end("first")
        #expect(cache.answers() == [DeCache.Answer(worker: "second", pieces: [])])
        cache.end("second")
        #expect(cache.answers().map(\.worker) == ["fourth"])
        #expect(cache.figures.waits == 2)
    }

    @Test func otherFilesColumnsGroupsAndWaysOfDecodingAreNotWaitedFor() {
        cache.ask([block(["a"], [0..<4])], for: "first")
        let others = [
            block(["b"], [0..<4]), block(["a"], [4..<5]), block(["a"], [0..<4], read: "dictionary"),
            block(["a"], [0..<4], of: file("/data/b.parquet")),
        ]
        cache.ask(others, for: "second")
        #expect(cache.answers().map(\.worker) == ["first", "second"])
    }

    @Test func aWaitingWorkerThatEndsIsForgottenAndHoldsNobodyUp() {
        cache.ask([block(["a"], [0..<4])], for: "first")
        _ = cache.answers()
        cache.ask([block(["a", "b"], [0..<4])], for: "second")
        cache.ask([block(["b"], [0..<4])], for: "third")
        #expect(cache.answers().isEmpty)
        cache.end("second")
        #expect(cache.answers().map(\.worker) == ["third"])
        cache.end("first")
        #expect(cache.answers().isEmpty && !cache.hasAsked("second"))
        cache.end("nobody")
    }

    @Test func onlyPiecesThatHoldSomethingNewAreGiven() {
        let large = piece(1, block(["a", "b"], [0..<10]))
        let small = piece(2, block(["c"], [0..<2]))
        fill([small, large])
        cache.ask([block(["a", "c"], [0..<4])], for: "second")
        #expect(cache.answers().first?.pieces == [large, small])
        #expect(cache.figures.claimedUnits == 22 + 2)
        cache.end("second")
        cache.ask([block(["b"], [9..<10])], for: "third")
        #expect(cache.answers().first?.pieces == [large])
    }

    @Test func whatWasNotTheWorkersToDecodeIsReleased() {
        fill([piece(1, block(["a"], [0..<4]))])
        cache.ask([block(["a", "b"], [0..<5])], for: "second")
        _ = cache.answers()
        let wrong = [piece(2, block(["a"], [0..<1])), piece(3, block(["b", "c"], [0..<5]))]
        cache.add(wrong + [piece(4, block(["b"], [0..<5])), piece(5, block(["b"], [4..<5]))], by: "second")
        #expect(cache.takeReleased() == [2, 3, 5].map(table))
        #expect(cache.takeReleased().isEmpty)
        #expect(cache.count == 2 && cache.block(of: table(4)) == block(["b"], [0..<5]))
        cache.add([piece(6, block(["z"], [0..<1]))], by: "nobody")
        #expect(cache.takeReleased() == [table(6)])
    }

    @Test func piecesOfAFileThatHasChangedAreForgotten() {
        fill([piece(1, block(["a"], [0..<4])), piece(2, block(["a"], [0..<4], of: file("/data/b.parquet")))])
        let changed = file(changed: 2)
        cache.ask([block(["a"], [0..<4], of: changed)], for: "second")
        #expect(cache.takeReleased() == [table(1)])
        #expect(cache.answers().first?.pieces == [])
        #expect(cache.count == 1)
    }

    @Test(arguments: [file(changed: 1, inode: 8), file(changed: 9)])
    func eachPartOfAnIdentityCounts(other: FileIdentity) {
        fill([piece(1, block(["a"], [0..<4]))])
        cache.ask([block(["a"], [0..<4], of: other)], for: "second")
        #expect(cache.answers().first?.pieces == [])
    }

    @Test func aRunThatWasPlannedBeforeTheChangeLeavesNewPiecesAlone() {
        let new = piece(1, block(["a"], [0..<4], of: file(changed: 2)))
        fill([new])
        cache.ask([block(["a"], [0..<4])], for: "late")
        #expect(cache.answers().first?.pieces == [])
        cache.add([piece(2, block(["a"], [0..<4]))], by: "late")
        #expect(cache.takeReleased() == [table(2)])
        cache.ask([new.block], for: "third")
        #expect(cache.answers().first?.pieces == [new])
    }

    @Test func whatWasUsedLongestAgoIsTheFirstToGo() {
        fill([piece(1, block(["a"], [0..<4])), piece(2, block(["b"], [0..<4]))])
        fill([piece(3, block(["c"], [0..<4]))], by: "second")
        #expect(cache.leastRecentlyUsed == [1, 2, 3].map(table))
        cache.ask([block(["a"], [0..<1])], for: "third")
        _ = cache.answers()
        #expect(cache.leastRecentlyUsed == [2, 3, 1].map(table))
        cache.remove(table(3))
        cache.remove(table(3))
        #expect(cache.leastRecentlyUsed == [2, 1].map(table) && cache.takeReleased().isEmpty)
        cache.ask([block(["c"], [0..<1])], for: "fourth")
        #expect(cache.answers().first?.pieces == [])
        cache.removeAll()
        #expect(cache.takeReleased() == [1, 2].map(table) && cache.count == 0)
    }

    @Test func whatIsNoBlockIsNone() {
        let columns = [[], ["a", "a"]]
        for columns in columns {
            #expect(ScanBlock(file: file(), read: "", columns: columns, groups: [0..<1]) == nil)
        }
        for groups in [[], [0..<0], [-1..<1], [2..<3, 0..<1], [0..<2, 1..<3]] {
            #expect(ScanBlock(file: file(), read: "", columns: ["a"], groups: groups) == nil)
        }
        #expect(block(["a", "b"], [0..<2, 2..<3, 7..<8]).units == 8)
        #expect(block(["a", "b"], [0..<Int.max]).units == .max)
    }
}

/// A set of units, one by one.
private struct Naive {
    struct Unit: Hashable {
        let file: FileIdentity
        let read: String
        let column: String
        let group: Int
    }

    static func units(_ blocks: [ScanBlock]) -> Set<Unit> {
        var units: Set<Unit> = []
        for block in blocks {
            for column in block.columns {
                for group in block.groups.ranges.joined() {
                    units.insert(Unit(file: block.file, read: block.read, column: column, group: group))
                }
            }
        }
        return units
    }

    var pieces: [TableID: ScanBlock] = [:]
    /// In the order of asking.
    var waiting: [(worker: BorrowerID, wants: Set<Unit>)] = []
    var claims: [BorrowerID: Set<Unit>] = [:]
    var lastTable: UInt64 = 0

    var held: Set<Unit> { Naive.units(Array(pieces.values)) }
}

@Suite struct DeCacheModelTests {
    private static let names = ["a", "b", "c", "d"]

    @Test(arguments: 0..<300) func itAgreesWithSetsOfUnits(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let cache = DeCache()
        var naive = Naive()
        var clock: Int64 = 1
        var files = ["/x", "/y"].map { file($0, changed: clock) }
        for step in 0..<60 {
            let worker = BorrowerID(rawValue: "w\(step)")
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let wants = wantedBlocks(files, &random)
                cache.ask(wants, for: worker)
                naive.waiting.append((worker, Naive.units(wants)))
            case 5..<8:
                if let (worker, claim) = naive.claims.sorted(by: { $0.key.rawValue < $1.key.rawValue }).randomElement(
                    using: &random)
                {
                    let pieces = decoded(claim, &naive, &random)
                    cache.add(pieces, by: worker)
                    naive.claims[worker] = nil
                    for piece in pieces { naive.pieces[piece.table] = piece.block }
                }
            case 8:
                if let gone = (naive.waiting.map(\.worker) + naive.claims.keys.sorted { $0.rawValue < $1.rawValue })
                    .randomElement(using: &random)
                {
                    cache.end(gone)
                    naive.claims[gone] = nil
                    naive.waiting.removeAll { $0.worker == gone }
                }
            default:
                if Bool.random(using: &random), let table = naive.pieces.keys.sorted().randomElement(using: &random) {
                    cache.remove(table)
                    naive.pieces[table] = nil
                } else {
                    clock += 1
                    let index = Int.random(in: 0..<2, using: &random)
                    files[index] = file(files[index].path, changed: clock)
                }
            }
            for table in cache.takeReleased() {
                #expect(naive.pieces.removeValue(forKey: table) != nil, "seed \(seed): released twice, or evicted")
            }
            check(cache.answers(), &naive, seed)
            #expect(Set(cache.leastRecentlyUsed) == Set(naive.pieces.keys), "seed \(seed)")
        }
        endAll(cache, &naive, seed)
    }

    private func wantedBlocks(_ files: [FileIdentity], _ random: inout RandomSource) -> [ScanBlock] {
        files.filter { _ in Bool.random(using: &random) }.map { file in
            let columns = Self.names.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random))
            let start = Int.random(in: 0..<6, using: &random)
            let middle = start + Int.random(in: 1...2, using: &random)
            let read = Int.random(in: 0..<4, using: &random) == 0 ? "dictionary" : "plain"
            return block(Array(columns), [start..<middle, middle + 1..<middle + 3], of: file, read: read)
        }
    }

    /// Some of a claim, each unit as a piece of its own.
    private func decoded(
        _ claim: Set<Naive.Unit>, _ naive: inout Naive, _ random: inout RandomSource
    ) -> [DeCache.Piece] {
        let ordered = claim.sorted { "\($0)" < "\($1)" }
        let kept = ordered.filter { _ in Int.random(in: 0..<10, using: &random) > 0 }
        return kept.map { unit in
            naive.lastTable += 1
            return piece(
                naive.lastTable, block([unit.column], [unit.group..<unit.group + 1], of: unit.file, read: unit.read))
        }
    }

    /// Holds answers to what is there, and those without one to a reason to wait.
    private func check(_ answers: [DeCache.Answer], _ naive: inout Naive, _ seed: UInt64) {
        let given = Dictionary(uniqueKeysWithValues: answers.map { ($0.worker, $0.pieces) })
        var ahead = naive.claims.values.reduce(into: Set<Naive.Unit>()) { $0.formUnion($1) }
        let held = naive.held
        var left: [(worker: BorrowerID, wants: Set<Naive.Unit>)] = []
        for request in naive.waiting {
            let missing = request.wants.subtracting(held)
            if let pieces = given[request.worker] {
                #expect(missing.isDisjoint(with: ahead), "seed \(seed): decoded twice")
                var found: Set<Naive.Unit> = []
                for piece in pieces {
                    #expect(naive.pieces[piece.table] == piece.block, "seed \(seed)")
                    let new = Naive.units([piece.block]).intersection(request.wants).subtracting(found)
                    #expect(!new.isEmpty, "seed \(seed): a piece for nothing")
                    found.formUnion(new)
                }
                #expect(found == request.wants.intersection(held), "seed \(seed)")
                naive.claims[request.worker] = missing
            } else {
                #expect(!missing.isDisjoint(with: ahead), "seed \(seed): waits for nothing")
                left.append(request)
            }
            ahead.formUnion(missing)
        }
        naive.waiting = left
    }

    /// However it stands, all who wait are answered once all who were answered have ended.
    private func endAll(_ cache: DeCache, _ naive: inout Naive, _ seed: UInt64) {
        while let worker = naive.claims.keys.first {
            cache.end(worker)
            naive.claims[worker] = nil
            check(cache.answers(), &naive, seed)
        }
        #expect(naive.waiting.isEmpty, "seed \(seed): waits for ever")
    }
}
