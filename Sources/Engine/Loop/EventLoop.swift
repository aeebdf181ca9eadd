import Glibc
import Scheduler
import System

/// A descriptor to wait for, and the handler to call when it is ready.
struct Watch {
    let raw: Int32
    let events: Poll.Events
    /// Whether to call the handler in any case, because bytes were read before and left for now.
    let isReady: Bool
    let handler: (Poll.Events) -> Void

    init(
        _ raw: Int32, _ events: Poll.Events = .read, isReady: Bool = false,
        _ handler: @escaping (Poll.Events) -> Void
    ) {
        self.raw = raw
        self.events = events
        self.isReady = isReady
        self.handler = handler
    }
}

/// How the engine waits: one `poll` over signals, zygotes, background work, and the workers of all runs. After each handler, the resource
/// manager decides on what was told meanwhile.
extension Engine {
    /// Waits until something happens, at most a tenth of a second, and handles it.
    func waitAndHandle(beside others: [Watch] = []) {
        var watches = others
        watches.append(Watch(background.reading.raw) { _ in self.background.finish() })
        zygotes.watch(&watches)
        for run in runs { run.watch(&watches) }
        do throws(SystemError) {
            let isReady = watches.contains(where: \.isReady)
            let ready = try Poll.wait(
                watches.map { ($0.raw, $0.events) }, timeoutMilliseconds: isReady ? 0 : 100)
            for (watch, events) in zip(watches, ready) where events.rawValue != 0 || watch.isReady {
                watch.handler(events)
                resources.decide()
            }
        } catch {
            // The kernel has no memory for so many descriptors (ENOMEM): workers end, or run out of time, meanwhile.
            usleep(100_000)
        }
        checkDeadlines()
        memoryMeter.measure(self)
        resources.decide()
        slotWatcher.look(at: self)
        resources.decide()
        background.beginWhatIsLate()
        for run in runs { run.observer?.tick() }
    }

    private func checkDeadlines() {
        let now = MonotonicClock.nanoseconds()
        for run in runs { run.checkDeadlines(now) }
        zygotes.checkDeadlines(now)
        timers.callDue(now)
    }
}
