import SeededNumbers
import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes

/// Random tables that share bytes, lent, released, spilled, read back and swapped in any order, against what they held when they were
/// published.
@Suite struct MovingModelTests {
    private final class Model {
        let store: SegmentStore
        let folder: SpillFolder
        var random: RandomSource
        var contents: [TableID: [UInt8]] = [:]
        var readers: [BorrowerID] = []
        var spills: [MoveWork] = []
        var restores: [MoveWork] = []
        var swaps: [SwapWork] = []
        var workers = 0
        var moves = 0

        init(_ lock: Lock, seed: UInt64) throws {
            store = SegmentStore(lock: lock, poolBytesMax: 8 << 20)
            folder = try diskFolder()
            random = RandomSource(seed: seed)
        }

        func pick(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

        func pickTable() -> TableID? { contents.keys.sorted().randomElement(using: &random) }

        func nextWorker() -> BorrowerID {
            workers += 1
            return BorrowerID(rawValue: "w\(workers)")
        }

        /// A worker publishes two tables of columns of its own and of what it was lent.
        func work() throws {
            let worker = nextWorker()
            let output = try store.makeOutputSegment(bytes: 2 * huge, for: worker)
            let rows = pick(1..<20_000)
            var columns: [ColumnPlace] = []
            for index in 0..<pick(1..<4) {
                let lower = index * (huge / 2) + pick(0..<8) * 8
                try output.file.fill(lower..<lower + rows * 8, &random)
                columns.append(ColumnPlace(segment: output.id, range: lower..<lower + rows * 8))
            }
            let inputs = (0..<pick(0..<3)).compactMap { _ in pickTable() }.filter { !store.mustRestore($0) }
            for input in Set(inputs) {
                _ = store.lend(input, to: worker)
                for (segment, ranges) in store.tables[input]?.named.sorted(by: { $0.key < $1.key }) ?? [] {
                    guard let range = ranges.ranges.randomElement(using: &random), range.count >= rows * 8 else {
                        continue
                    }
                    let lower = range.lowerBound + pick(0..<(range.count - rows * 8) / 8 + 1) * 8
                    columns.append(ColumnPlace(segment: segment, range: lower..<lower + rows * 8))
                }
            }
            let sizes = store.sizes
            let tables = try [columns, [columns[0]]].map { try ColumnTable([$0], sizes: sizes) }
            let ids = try store.publish(
                by: worker,
                tables: tables.map { .init(descriptor: $0.descriptor, references: $0.references) })
            try store.end(worker)
            for id in ids { contents[id] = try store.stream(of: id) }
        }

        func release() throws {
            guard let table = pickTable() else { return }
            contents[table] = nil
            try store.release(table)
        }

        func lend() throws {
            if let worker = readers.randomElement(using: &random), pick(0..<2) == 0 {
                readers.removeAll { $0 == worker }
                return try store.end(worker)
            }
            guard let table = pickTable(), !store.mustRestore(table) else { return }
            let worker = nextWorker()
            _ = store.lend(table, to: worker)
            readers.append(worker)
        }

        func beginMove() throws {
            guard let table = pickTable() else { return }
            if pick(0..<4) == 0 {
                swaps.append(store.beginSwap(table))
            } else if let segment = try store.compactable().randomElement(using: &random) {
                restores.append(try store.beginCompaction(segment))
            } else if store.memorySegments(of: table).isEmpty || pick(0..<4) == 0 {
                if let work = try? store.beginRestore(table) { restores.append(work) }
            } else if let work = try? store.beginSpill(table, to: folder) {
                spills.append(work)
            }
        }

        func endMove() throws {
            if !spills.isEmpty {
                let work = spills.remove(at: pick(0..<spills.count))
                if pick(0..<8) > 0 { try work.run() }
                if case .moved = store.finish(work) { moves += 1 }
            } else if !restores.isEmpty {
                let work = restores.remove(at: pick(0..<restores.count))
                try work.run()
                if case .moved = store.finish(work) { moves += 1 }
            } else if let work = swaps.popLast() {
                work.pageOut()
                _ = store.finishSwap(work)
            }
        }

        func check(_ comment: Comment) throws {
            for (table, content) in contents {
                let isIntact = try same(content, store.stream(of: table))
                #expect(isIntact, comment)
            }
            for segment in store.segments.values {
                #expect(!segment.tables.isEmpty, comment)
                let named = segment.tables.reduce(RangeSet()) {
                    $0.union(store.tables[$1]?.named[segment.id] ?? RangeSet())
                }
                #expect(segment.named == named, comment)
                for table in segment.tables { #expect(store.tables[table]?.named[segment.id] != nil, comment) }
            }
            let charged = store.tables.keys.reduce(0) { $0 + store.chargedBytes(of: $1, inMemory: false) }
            #expect(try store.usage().namedBytes == charged, comment)
        }
    }

    @Test(arguments: everyLock, 1..<7) func tablesAreWhatTheyWereWhereverTheyLie(lock: Lock, seed: UInt64) throws {
        let model = try Model(lock, seed: seed)
        for step in 0..<60 {
            switch model.pick(0..<10) {
            case 0..<3: try model.work()
            case 3: try model.release()
            case 4: try model.lend()
            case 5..<7: try model.beginMove()
            default: try model.endMove()
            }
            try model.check("lock \(lock), seed \(seed), step \(step)")
        }
        for worker in model.readers { try model.store.end(worker) }
        while !(model.spills.isEmpty && model.restores.isEmpty && model.swaps.isEmpty) { try model.endMove() }
        #expect(model.moves > 0, "seed \(seed)")
        try model.check("lock \(lock), seed \(seed), the end")
        while !model.contents.isEmpty { try model.release() }
        let usage = try model.store.usage()
        #expect(usage.residentBytes == 0 && usage.spilledBytes == 0 && usage.tables == 0 && usage.segments == 0)
    }
}
