import Glibc
import SeededNumbers
import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes
private let page = Machine.pageBytes

/// Random producers, readers, tables and releases against a naive model of what must be visible.
@Suite struct ModelTests {
    /// What the model knows of a segment.
    private struct Known {
        let content: [UInt8]
        let file: DescriptorBox
        var published: [Range<Int>]
    }

    private final class Model {
        let store: SegmentStore
        var random: RandomSource
        var segments: [SegmentID: Known] = [:]
        var tables: [TableID: [SegmentID: [Range<Int>]]] = [:]
        var workers = 0

        init(_ lock: Lock, seed: UInt64) {
            store = SegmentStore(lock: lock, poolBytesMax: 8 << 20)
            random = RandomSource(seed: seed)
        }

        func pick(_ range: Range<Int>) -> Int { Int.random(in: range, using: &random) }

        /// A worker reads some tables, names some of their bytes and some of its own, and ends, now and then without a table.
        func work() throws {
            workers += 1
            let worker = BorrowerID(rawValue: "w\(workers)")
            let bytes = pick(1..<4) * huge
            var producer = try Producer(store, worker, bytes: bytes)
            try fill(&producer)
            var references = References()
            var named: [SegmentID: [Range<Int>]] = [:]
            for table in tables.keys.sorted() where pick(0..<3) == 0 {
                _ = store.lend(table, to: worker)
                for (segment, ranges) in (tables[table] ?? [:]).sorted(by: { $0.key < $1.key }) {
                    for range in ranges where pick(0..<2) == 0 {
                        let lower = pick(range)
                        named[segment, default: []].append(lower..<pick(lower..<range.upperBound) + 1)
                    }
                }
            }
            for _ in 0..<pick(0..<8) {
                let lower = pick(0..<bytes)
                let reach = [200, 3 * page, 60 * page, huge][pick(0..<4)]
                named[producer.output.id, default: []].append(lower..<min(bytes, lower + 1 + pick(0..<reach)))
            }
            for (segment, ranges) in named { try references.add(segment, ranges) }
            if pick(0..<8) > 0 {
                let table = try store.publish(by: worker, descriptor: anyDescriptor(), references: references)
                tables[table] = named
                if let own = named[producer.output.id] {
                    let reader = try #require(store.segments[producer.output.id]?.reader)
                    segments[producer.output.id] = Known(content: producer.content, file: reader, published: own)
                }
            }
            try store.end(worker)
        }

        /// Everything that is not published later is a secret.
        private func fill(_ producer: inout Producer) throws {
            let bytes = producer.content.count
            for _ in 0..<pick(1..<6) {
                let lower = pick(0..<bytes)
                try producer.write(lower..<min(bytes, lower + pick(1..<huge)), UInt8(pick(1..<256)))
            }
            guard pick(0..<2) == 0 else { return }
            for offset in stride(from: 0, to: bytes, by: huge) { try producer.write(offset..<offset + 1, 0xff) }
            try producer.collapse(0..<bytes)
        }

        func release() throws {
            guard let table = tables.keys.sorted().randomElement(using: &random) else { return }
            tables[table] = nil
            try store.release(table)
        }

        func named(_ segment: SegmentID) -> [Range<Int>] { tables.values.flatMap { $0[segment] ?? [] } }

        func check(_ comment: Comment) throws {
            for (id, known) in segments {
                let named = RangeSet(named(id))
                if named.isEmpty {
                    #expect(store.segments[id] == nil, comment)
                    segments[id] = nil
                    continue
                }
                #expect(store.segments[id]?.named == named, comment)
                let seen = try visible(known.file, bytes: known.content.count)
                let published = RangeSet(known.published)
                for range in named.ranges {
                    let isIntact = same(seen, known.content, range)
                    #expect(isIntact, comment)
                }
                for range in RangeSet([0..<seen.count]).subtracting(published).ranges {
                    let isAllZero = isZero(seen, range)
                    #expect(isAllZero, comment)
                }
                try checkMemory(id, known, named, comment)
            }
            let usage = try store.usage()
            #expect(usage.tables == tables.count && usage.segments == segments.count, comment)
            #expect(usage.namedBytes == segments.keys.reduce(0) { $0 + RangeSet(self.named($1)).bytes }, comment)
            #expect(usage.pooledBytes <= 8 << 20, comment)
        }

        /// Memory is bounded by the pages that are named, and a little of each 2 MiB range that is named partly.
        private func checkMemory(_ id: SegmentID, _ known: Known, _ named: RangeSet, _ comment: Comment) throws {
            let kept = store.lock == .sealed ? RangeSet(known.published) : named
            let pages = RangeSet(
                kept.ranges.map { $0.lowerBound & ~(page - 1)..<($0.upperBound + page - 1) & ~(page - 1) })
            let blocks = RangeSet(
                kept.ranges.map { $0.lowerBound & ~(huge - 1)..<($0.upperBound + huge - 1) & ~(huge - 1) })
            let bound = pages.bytes + blocks.bytes / huge * Trim.zeroedBytesMax
            #expect(try known.file.descriptor.status().residentBytes <= bound, comment)
        }
    }

    @Test(arguments: everyLock, 1..<9) func whatIsNamedIsIntactAndNothingElseIsVisible(lock: Lock, seed: UInt64) throws
    {
        let model = Model(lock, seed: seed)
        for step in 0..<24 {
            if model.pick(0..<3) == 0 { try model.release() } else { try model.work() }
            try model.check("lock \(lock), seed \(seed), step \(step)")
        }
        while !model.tables.isEmpty { try model.release() }
        try model.check("lock \(lock), seed \(seed), the end")
        #expect(try model.store.usage().residentBytes == 0)
    }
}
