import Scheduler
import Testing

@Suite struct FairShareTests {
    private func claim(
        _ run: Int, isBatch: Bool = false, used: Int = 0, wanted: Int, assigned: Int = 0
    ) -> FairShare.Claim {
        FairShare.Claim(run: run, isBatch: isBatch, used: used, wanted: wanted, assignedCount: assigned)
    }

    @Test func aLoneRunGetsWhatItWants() {
        var share = FairShare(slots: 4)
        #expect(share.divide([claim(1, wanted: 9)]) == [4])
        #expect(share.divide([claim(1, used: 1, wanted: 2)]) == [2])
    }

    @Test func runsOfOneClassShareEvenly() {
        var share = FairShare(slots: 4)
        #expect(share.divide([claim(1, wanted: 9), claim(2, wanted: 9)]) == [2, 2])
        #expect(share.divide([claim(1, wanted: 9), claim(2, wanted: 1)]) == [3, 1])
    }

    @Test func aRunThatCameLaterGetsTheNextFreeSlot() {
        var share = FairShare(slots: 2)
        _ = share.divide([claim(1, wanted: 9)])
        // The first may not take another one, and the second has to wait until one is free.
        #expect(share.divide([claim(1, used: 2, wanted: 9, assigned: 2), claim(2, wanted: 9)]) == [1, 0])
        #expect(share.divide([claim(1, used: 1, wanted: 9, assigned: 2), claim(2, wanted: 9)]) == [1, 1])
    }

    @Test func interactiveRunsComeBeforeBatchRuns() {
        var share = FairShare(slots: 2)
        #expect(share.divide([claim(1, isBatch: true, wanted: 2), claim(2, wanted: 2)]) == [0, 2])
        #expect(share.divide([claim(1, isBatch: true, wanted: 2), claim(2, wanted: 1)]) == [1, 1])
    }

    @Test func aBatchRunIsServedAfterAStreakOfOthers() {
        var share = FairShare(slots: 1)
        var grants: [Int] = []
        var assigned = [0, 0]
        for _ in 0..<11 {
            let claims = [
                claim(1, isBatch: true, wanted: 9, assigned: assigned[0]), claim(2, wanted: 9, assigned: assigned[1]),
            ]
            let run = share.divide(claims).firstIndex(of: 1)!
            grants.append(run + 1)
            assigned[run] += 1
        }
        #expect(grants == [2, 2, 2, 2, 1, 2, 2, 2, 2, 1, 2])
    }

    /// Runs come and go, and use what they may: slots are never passed, none is idle while wanted, and everybody is served.
    @Test(arguments: 0..<200) func nobodyWaitsForEver(_ number: Int) {
        var random = RandomSource(seed: UInt64(number) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
        let slots = 1 + random.below(5)
        var share = FairShare(slots: slots)
        var runs: [Int: (isBatch: Bool, used: Int, queued: Int, assigned: Int, waitedSince: Int)] = [:]
        var last = 0
        for step in 0..<400 {
            if random.once(in: 10), runs.count < 6 {
                last += 1
                runs[last] = (random.once(in: 3), 0, 0, 0, step)
            }
            for id in runs.keys.sorted() {
                runs[id]!.queued += random.once(in: 2) ? random.below(3) : 0
                // A model ends in one step of four.
                for _ in 0..<runs[id]!.used where random.once(in: 4) { runs[id]!.used -= 1 }
            }
            let ids = runs.keys.sorted()
            let claims = ids.map { id in
                let run = runs[id]!
                return FairShare.Claim(
                    run: id, isBatch: run.isBatch, used: run.used, wanted: run.used + run.queued,
                    assignedCount: run.assigned)
            }
            let given = share.divide(claims)
            for (id, most) in zip(ids, given) {
                let count = max(0, min(most - runs[id]!.used, runs[id]!.queued))
                runs[id]!.used += count
                runs[id]!.queued -= count
                runs[id]!.assigned += count
                if count > 0 || runs[id]!.queued == 0 { runs[id]!.waitedSince = step }
                #expect(step - runs[id]!.waitedSince < 200, "run \(id) waits for ever (number \(number), step \(step))")
            }
            let used = runs.values.reduce(0) { $0 + $1.used }
            #expect(used <= slots, "more slots are used than there are (number \(number), step \(step))")
            let isWaiting = runs.values.contains { $0.queued > 0 }
            #expect(!isWaiting || used == slots, "a slot is idle (number \(number), step \(step))")
            for (id, run) in runs where run.used == 0 && run.queued == 0 && random.once(in: 20) { runs[id] = nil }
        }
    }
}
