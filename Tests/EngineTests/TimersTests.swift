import System
import Testing

@testable import Engine

@Suite struct TimersTests {
    @Test func eachIsCalledOnceWhenItIsDueInTheOrderOfSetting() {
        let timers = Timers()
        var log: [String] = []
        timers.after(seconds: 1000) { log.append("late") }
        timers.after(seconds: 0) { log.append("a") }
        timers.after(seconds: 0) {
            log.append("b")
            // What is set meanwhile is called the next time.
            timers.after(seconds: 0) { log.append("c") }
        }
        timers.callDue(MonotonicClock.nanoseconds())
        #expect(log == ["a", "b"])
        timers.callDue(MonotonicClock.nanoseconds())
        timers.callDue(MonotonicClock.nanoseconds())
        #expect(log == ["a", "b", "c"])
        timers.callDue(.max)
        #expect(log == ["a", "b", "c", "late"])
    }
}
