import Glibc
import Synchronization
import System
import Testing

@testable import Engine

@Suite struct BackgroundWorkTests {
    /// A door that works wait at.
    private final class Gate: Sendable {
        private let state = Monitor((isOpen: false, waiting: 0, passed: 0))

        /// How many have come to it and not passed.
        var waiting: Int { state.withLock { $0.waiting } }

        func pass() {
            state.withLock { $0.waiting += 1 }
            state.wake()
            state.wait { $0.isOpen ? () : nil }
            state.withLock {
                $0.waiting -= 1
                $0.passed += 1
            }
        }

        func open() {
            state.withLock { $0.isOpen = true }
            state.wake()
        }

        /// Waits until so many wait at it.
        func wait(for count: Int) { state.wait { $0.waiting >= count ? () : nil } }
    }

    private static let ever = UInt64.max

    @Test func resultsComeOnTheThreadThatBeganTheWorkWhichRunsOnAnother() throws {
        let background = try BackgroundWork()
        let own = pthread_self()
        var result: (value: Int, isElsewhere: Bool)?
        background.begin(.prepare) { () -> (Int, Bool) in
            (42, pthread_equal(pthread_self(), own) == 0)
        } then: {
            #expect(pthread_equal(pthread_self(), own) != 0)
            result = $0
        }
        #expect(result == nil && background.count(of: .prepare) == 1)
        background.drain([.prepare], until: Self.ever)
        #expect(result?.value == 42 && result?.isElsewhere == true && background.count(of: .prepare) == 0)
    }

    @Test func worksOfDifferentKindsDoNotWaitForEachOther() throws {
        let background = try BackgroundWork()
        let gate = Gate()
        // More than there are threads.
        for _ in 0..<20 { background.begin(.spill) { gate.pass() } }
        gate.wait(for: BackgroundWork.Kind.spill.threadsMax)
        var done = 0
        for kind in BackgroundWork.Kind.allCases where kind != .spill { background.begin(kind, {}) { done += 1 } }
        background.drain(Set(BackgroundWork.Kind.allCases).subtracting([.spill]), until: Self.ever)
        #expect(done == BackgroundWork.Kind.allCases.count - 1)
        #expect(gate.waiting == BackgroundWork.Kind.spill.threadsMax && background.count(of: .spill) == 20)
        gate.open()
        background.drain([.spill], until: Self.ever)
    }

    @Test func anOwnerWhoseWorkHangsKeepsNoOtherWaiting() throws {
        let background = try BackgroundWork()
        let gate = Gate()
        for _ in 0..<50 { background.begin(.export, of: 1) { gate.pass() } }
        gate.wait(for: 1)
        var others = 0
        for owner in 2..<40 { background.begin(.export, of: owner, {}) { others += 1 } }
        while others < 38 {
            _ = try Poll.wait([(background.reading.raw, .read)], timeoutMilliseconds: 1000)
            background.finish()
        }
        #expect(gate.waiting == 1, "one owner has one thread")
        gate.open()
        background.drain([.export], until: Self.ever)
        #expect(background.count(of: .export) == 0)
    }

    @Test func worksOfOneOwnerKeepTheirOrderWhereItHasOneThread() throws {
        let background = try BackgroundWork()
        var order: [Int] = []
        for number in 0..<200 { background.begin(.export, of: 7, { number }) { order.append($0) } }
        background.drain([.export], until: Self.ever)
        #expect(order == Array(0..<200))
    }

    @Test func withoutFurtherThreadsTheFirstOneDoesAllAndTheCallerNothing() throws {
        let threads = Mutex(0)
        let background = try BackgroundWork { body in
            let isFirst = threads.withLock { count in
                count += 1
                return count == 1
            }
            return isFirst && WorkQueue.startThread(body)
        }
        let own = pthread_self()
        var done = 0
        for number in 0..<300 {
            let kind = BackgroundWork.Kind.allCases[number % BackgroundWork.Kind.allCases.count]
            background.begin(kind, of: number % 3) {
                pthread_equal(pthread_self(), own) == 0
            } then: { isElsewhere in
                #expect(isElsewhere)
                done += 1
            }
        }
        background.drain(Set(BackgroundWork.Kind.allCases), until: Self.ever)
        #expect(done == 300)
    }

    @Test func withoutAnyThreadThereIsNoBackgroundWork() {
        #expect(throws: SystemError.self) { _ = try BackgroundWork { _ in false } }
    }

    @Test func drainingEndsWhenItsTimeIsOver() throws {
        let background = try BackgroundWork()
        let gate = Gate()
        background.begin(.save) { gate.pass() }
        background.drain([.save], until: MonotonicClock.nanoseconds() + 20_000_000)
        #expect(background.count(of: .save) == 1)
        gate.open()
        background.drain([.save], until: Self.ever)
    }

    @Test func nobodyWaitsForWorkThatHangsWhenItIsGivenUp() throws {
        let gate = Gate()
        do {
            let background = try BackgroundWork()
            background.begin(.save) { gate.pass() }
            background.begin(.save) { Issue.record("what waits is not done any more") }
            gate.wait(for: 1)
        }
        gate.open()
    }
}
