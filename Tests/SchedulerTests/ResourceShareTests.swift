import Scheduler
import SeededNumbers
import Testing

/// How slots are divided where memory is no matter.
@Suite struct ResourceShareTests {
    /// A manager, and what it granted.
    private struct Desk {
        var manager: ResourceManager
        /// The runs that were granted a slot, in order.
        var granted: [Int] = []
        var held: [Int: [Int]] = [:]
        var asked = 0

        init(slots: Int) { manager = ResourceManager(limits: .init(memoryBytesMax: nil, slots: slots)) }

        mutating func feed(_ event: ResourceManager.Event) {
            for action in manager.handle(event) {
                guard case .grant(let run, let model, _) = action else { continue }
                granted.append(run)
                held[run, default: []].append(model)
            }
        }

        mutating func begin(_ run: Int, isBatch: Bool = false, slots: Int = 99) {
            begin(run, priority: isBatch ? 1 : 5, slots: slots)
        }

        mutating func begin(_ run: Int, priority: Int, slots: Int = 99) {
            feed(.runBegan(run, priority: priority, slots: slots, memoryBytesMax: nil))
        }

        mutating func ask(_ run: Int, _ count: Int = 1) {
            for _ in 0..<count {
                asked += 1
                feed(.asked(.init(run: run, model: asked, rank: asked, expectedBytes: 1 << 30)))
            }
        }

        /// A model of the run ends.
        mutating func end(_ run: Int) {
            feed(.givenBack(run, model: held[run]!.removeFirst()))
        }
    }

    @Test func aLoneRunGetsWhatItWants() {
        var desk = Desk(slots: 4)
        desk.begin(1)
        desk.ask(1, 9)
        #expect(desk.granted == [1, 1, 1, 1])
    }

    @Test func aRunKeepsToItsOwnSlots() {
        var desk = Desk(slots: 4)
        desk.begin(1, slots: 2)
        desk.ask(1, 9)
        #expect(desk.granted == [1, 1])
    }

    @Test func aRunWithoutASlotIsLentOneWhileAModelDoesNotGetOn() {
        var desk = Desk(slots: 2)
        desk.begin(1)
        desk.ask(1, 4)
        desk.begin(2)
        desk.ask(2, 3)
        desk.begin(3)
        desk.ask(3, 1)
        #expect(desk.granted == [1, 1])
        #expect(desk.manager.runsWithoutSlot == [2, 3])
        desk.feed(.stalled(1, model: desk.held[1]![0]))
        #expect(desk.granted == [1, 1, 2], "one gets on, and one is lent")
        #expect(desk.manager.runsWithoutSlot == [3])
        // It ends, and the slot is lent to whoever has none: run 2 has had one.
        desk.end(2)
        #expect(desk.granted == [1, 1, 2, 3])
        desk.end(3)
        #expect(desk.granted == [1, 1, 2, 3, 2])
    }

    @Test func aLentSlotComesBackWhenTheModelGetsOn() {
        var desk = Desk(slots: 1)
        desk.begin(1)
        desk.ask(1, 3)
        desk.begin(2)
        desk.ask(2, 2)
        let first = desk.held[1]![0]
        desk.feed(.stalled(1, model: first))
        #expect(desk.granted == [1, 2])
        desk.feed(.progressing(1, model: first))
        desk.end(2)
        #expect(desk.granted == [1, 2], "its slot is taken")
        desk.end(1)
        #expect(desk.granted == [1, 2, 1], "the one that was served longest ago")
    }

    @Test func aRunIsLentNoMoreThanOneSlotAndNoneBeyondItsOwnLimit() {
        var desk = Desk(slots: 3)
        desk.begin(1)
        desk.ask(1, 3)
        for model in desk.held[1]! { desk.feed(.stalled(1, model: model)) }
        desk.begin(2)
        desk.begin(3, slots: 0)
        desk.ask(2, 9)
        desk.ask(3, 1)
        desk.ask(1, 5)
        #expect(desk.granted == [1, 1, 1, 2])
        #expect(desk.manager.runsWithoutSlot.isEmpty)
    }

    @Test func wordOfAModelThatIsOverIsIgnored() {
        var desk = Desk(slots: 1)
        desk.begin(1)
        desk.ask(1, 1)
        let model = desk.held[1]![0]
        desk.end(1)
        desk.feed(.stalled(1, model: model))
        desk.feed(.progressing(1, model: model))
        desk.ask(1, 2)
        #expect(desk.granted == [1, 1])
    }

    @Test func runsOfOneClassShareEvenly() {
        var desk = Desk(slots: 1)
        for run in 1...3 { desk.begin(run) }
        for run in 1...3 { desk.ask(run, 3) }
        for _ in 0..<8 { desk.end(desk.granted.last!) }
        #expect(desk.granted == [1, 2, 3, 1, 2, 3, 1, 2, 3])
    }

    @Test func aRunThatCameLaterGetsTheNextFreeSlots() {
        var desk = Desk(slots: 4)
        desk.begin(1)
        desk.begin(2)
        desk.ask(1, 9)
        desk.ask(2, 9)
        for _ in 0..<3 { desk.end(1) }
        // Two each; then the one that was served longest ago.
        #expect(desk.granted == [1, 1, 1, 1, 2, 2, 1])
    }

    @Test func interactiveRunsComeBeforeBatchRuns() {
        var desk = Desk(slots: 1)
        desk.begin(1, isBatch: true)
        desk.begin(2)
        desk.ask(1)
        desk.ask(1)
        desk.ask(2, 2)
        desk.end(1)
        desk.end(2)
        desk.end(2)
        #expect(desk.granted == [1, 2, 2, 1])
    }

    @Test func runsOfAHigherPriorityComeFirst() {
        var desk = Desk(slots: 1)
        desk.begin(1, priority: 1)
        desk.ask(1)
        for (run, priority) in [(2, 2), (3, 10), (4, 5)] {
            desk.begin(run, priority: priority)
            desk.ask(run)
        }
        for _ in 0..<3 { desk.end(desk.granted.last!) }
        #expect(desk.granted == [1, 3, 4, 2])
    }

    @Test func eachRunThatIsBehindHasItsTurn() {
        var desk = Desk(slots: 1)
        for (run, priority) in [(1, 10), (2, 5), (3, 1)] { desk.begin(run, priority: priority) }
        desk.ask(1, 40)
        desk.ask(2, 40)
        desk.ask(3, 40)
        for _ in 0..<20 { desk.end(desk.granted.last!) }
        // The first one found nobody waiting. Then one of those behind after four, and not the same one twice.
        #expect(desk.granted == [1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 3, 1, 1, 1, 1, 2, 1, 1, 1, 1, 3])
    }

    @Test func aRunBehindThatMayHaveNoMoreSlotsKeepsNobodyOfAHigherPriorityBack() {
        var desk = Desk(slots: 2)
        desk.begin(1, priority: 1, slots: 1)
        desk.begin(2, priority: 5)
        desk.begin(3, priority: 10)
        desk.ask(1, 9)
        desk.ask(2, 20)
        desk.ask(3, 20)
        let before = desk.granted.count
        for _ in 0..<10 { desk.end(desk.granted.last!) }
        let last = desk.granted.dropFirst(before)
        #expect(last.count { $0 == 3 } >= 8 && last.contains(2))
    }

    @Test func aBatchRunIsServedAfterAStreakOfOthers() {
        var desk = Desk(slots: 1)
        desk.begin(1, isBatch: true)
        desk.begin(2)
        desk.ask(2, 12)
        desk.ask(1, 9)
        for _ in 0..<11 { desk.end(desk.granted.last!) }
        // The first one found no batch run waiting.
        #expect(desk.granted == [2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2])
    }

    @Test func withinARunTheLowestRankComesFirst() {
        var manager = ResourceManager(limits: .init(memoryBytesMax: nil, slots: 1))
        _ = manager.handle(.runBegan(1, priority: 5, slots: 9, memoryBytesMax: nil))
        _ = manager.handle(.asked(.init(run: 1, model: 0, rank: 9, expectedBytes: 0)))
        for (model, rank) in [(1, 5), (2, 3), (3, 7)] {
            #expect(manager.handle(.asked(.init(run: 1, model: model, rank: rank, expectedBytes: 0))) == [])
        }
        var order: [Int] = []
        var last = 0
        for _ in 0..<3 {
            for case .grant(_, let model, _) in manager.handle(.givenBack(1, model: last)) {
                order.append(model)
                last = model
            }
        }
        #expect(order == [2, 1, 3])
    }

    @Test func whatIsWithdrawnIsNotGranted() {
        var desk = Desk(slots: 1)
        desk.begin(1)
        desk.ask(1, 3)
        desk.feed(.withdrawn(1, model: 2))
        desk.end(1)
        #expect(desk.held == [1: [3]])
    }

    /// Runs come and go: slots are never passed, none is idle while wanted, and everybody is served.
    @Test(arguments: 0..<100) func nobodyWaitsForEver(_ number: Int) {
        var random = RandomSource(seed: UInt64(number) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        let slots = 1 + random.below(5)
        var desk = Desk(slots: slots)
        var waiting: [Int: (queued: Int, since: Int)] = [:]
        var last = 0
        for step in 0..<400 {
            if random.once(in: 10), waiting.count < 6 {
                last += 1
                desk.begin(last, isBatch: random.once(in: 3))
                waiting[last] = (0, step)
            }
            let before = desk.granted.count
            for run in waiting.keys.sorted() {
                let count = random.once(in: 2) ? random.below(3) : 0
                waiting[run]!.queued += count
                desk.ask(run, count)
                // A model ends in one step of four.
                for _ in desk.held[run] ?? [] where random.once(in: 4) { desk.end(run) }
            }
            for run in desk.granted[before...] {
                waiting[run]!.queued -= 1
                waiting[run]!.since = step
            }
            for (run, state) in waiting {
                if state.queued == 0 { waiting[run]!.since = step }
                #expect(step - waiting[run]!.since < 200, "run \(run) waits for ever (number \(number), step \(step))")
            }
            let used = desk.held.values.reduce(0) { $0 + $1.count }
            #expect(used <= slots, "more slots are used than there are (number \(number), step \(step))")
            let isWaiting = waiting.values.contains { $0.queued > 0 }
            #expect(!isWaiting || used == slots, "a slot is idle (number \(number), step \(step))")
            for (run, state) in waiting {
                guard state.queued == 0, desk.held[run, default: []].isEmpty, random.once(in: 20) else { continue }
                desk.feed(.runEnded(run))
                waiting[run] = nil
            }
        }
    }
}
