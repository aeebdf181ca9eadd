import Scheduler
import Testing

/// Which models are taken to be stalled, and who is told of it.
@Suite struct SlotWatchTests {
    /// A watch with a clock in tenths of seconds, and one model of run 1 that uses so much of a processor.
    private struct Post {
        var watch = SlotWatch()
        var now: UInt64 = 1_000_000_000
        var used: UInt64 = 0
        let key = ResourceManager.ModelKey(1, 7)
        var heldSince: UInt64 = 1_000_000_000

        /// Lets time pass while run 2 waits; what was found meanwhile.
        mutating func pass(seconds: Double, processors: Double, waiting: [Int] = [2]) -> [SlotWatch.Finding] {
            var findings: [SlotWatch.Finding] = []
            for _ in 0..<Int(seconds * 10) {
                now += 100_000_000
                used += UInt64(processors * 100_000_000)
                if watch.isDue(waiting: waiting, at: now) {
                    let sample = SlotWatch.Sample(key: key, heldSince: heldSince, processorNanoseconds: used)
                    findings += watch.look(at: [sample], waiting: waiting, at: now)
                }
            }
            return findings
        }
    }

    private func isStall(_ finding: SlotWatch.Finding) -> Bool { if case .stalled = finding { true } else { false } }

    private func holders(_ findings: [SlotWatch.Finding]) -> [[SlotWatch.Holder]] {
        findings.compactMap { if case .waits(_, _, let holders) = $0 { holders } else { nil } }
    }

    @Test func nothingIsLookedAtWhileNobodyWaits() {
        var post = Post()
        let findings = post.pass(seconds: 100, processors: 0, waiting: [])
        #expect(findings.isEmpty)
        let isDue = post.watch.isDue(waiting: [], at: post.now + 1_000_000_000_000)
        #expect(!isDue)
    }

    @Test func aModelThatDoesNothingIsStalledAndBothAreTold() {
        var post = Post()
        let findings = post.pass(seconds: 4, processors: 0)
        #expect(findings.count(where: isStall) == 1)
        let told = holders(findings)
        #expect(told.count == 1 && told[0].count == 1)
        #expect(told[0].first?.usesProcessor == false && told[0].first?.key == post.key)
        let later = post.pass(seconds: 20, processors: 0)
        #expect(later.isEmpty, "once is enough")
    }

    @Test func aModelThatComputesAtTimesGetsOn() {
        var post = Post()
        for _ in 0..<10 {
            let findings = post.pass(seconds: 1, processors: 0) + post.pass(seconds: 1, processors: 0.9)
            #expect(!findings.contains(where: isStall))
        }
    }

    @Test func aModelThatWasStalledGetsOnWhenItComputes() {
        var post = Post()
        let first = post.pass(seconds: 4, processors: 0.01)
        #expect(first.contains(.stalled(post.key)))
        // It is looked at also while nobody waits.
        let second = post.pass(seconds: 3, processors: 0.8, waiting: [])
        #expect(second == [.progressing(post.key)])
        let third = post.pass(seconds: 3, processors: 0, waiting: [])
        #expect(third.isEmpty)
    }

    @Test func aModelThatComputesForLongIsStalledWhenARunHasWaitedForLong() {
        var post = Post()
        let first = post.pass(seconds: 29, processors: 1)
        #expect(!first.contains(where: isStall))
        let second = post.pass(seconds: 3, processors: 1)
        #expect(second.contains(.stalled(post.key)))
        let third = post.pass(seconds: 9, processors: 1)
        #expect(!third.contains(.progressing(post.key)))
    }

    @Test func aModelThatHasJustBegunIsGivenTime() {
        var post = Post()
        _ = post.pass(seconds: 25, processors: 1)
        post.heldSince = post.now
        let first = post.pass(seconds: 20, processors: 1)
        #expect(!first.contains(where: isStall), "it is another grant")
        let second = post.pass(seconds: 20, processors: 1)
        #expect(second.contains(where: isStall))
    }

    @Test func whoeverWaitsIsToldAfterAWhileInAnyCase() {
        var post = Post()
        let early = holders(post.pass(seconds: 4, processors: 1))
        #expect(early.isEmpty)
        let told = holders(post.pass(seconds: 3, processors: 1))
        #expect(told.count == 1 && told[0].first?.usesProcessor == true)
    }

    @Test func aClockOrACounterThatGoesBackIsNoTrap() {
        var post = Post()
        _ = post.pass(seconds: 3, processors: 1)
        post.used = 0
        post.heldSince = .max
        _ = post.pass(seconds: 3, processors: 1)
    }
}
