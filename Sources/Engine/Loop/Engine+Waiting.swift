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

/// How the engine waits: one `poll` over signals, zygotes, background work, and the workers of all runs.
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
            }
        } catch {
            // The kernel has no memory for so many descriptors (ENOMEM): workers end, or run out of time, meanwhile.
            usleep(100_000)
        }
        checkDeadlines()
        measureMemory()
        watchWorkers()
        for run in runs { run.observer?.tick() }
    }

    private func checkDeadlines() {
        let now = MonotonicClock.nanoseconds()
        for run in runs { run.checkDeadlines(now) }
        zygotes.checkDeadlines(now)
        let due = timers.filter { $0.at <= now }
        timers.removeAll { $0.at <= now }
        for timer in due { timer.handler() }
    }

    /// Calls something from the loop in so many seconds, and up to a tenth of one later.
    func after(seconds: Double, _ handler: @escaping () -> Void) {
        timers.append((Deadline.after(seconds: seconds), handler))
    }

    /// The worker of that name, and its run; nil when it is over.
    func worker(named name: String) -> (run: Run, worker: WorkerProcess)? {
        for run in runs {
            if let worker = run.workers.values.first(where: { $0.name == name }) { return (run, worker) }
        }
        return nil
    }
}

extension Engine: ZygoteUsers {
    func ready(_ zygote: ZygoteProcess, for runs: Set<Int>) {
        for run in self.runs where runs.contains(run.number) {
            run.feed(.zygoteReady(environment: zygote.key.name))
        }
    }

    func said(_ message: ZygoteMessage, of name: String, by zygote: ZygoteProcess) -> String? {
        // A worker of a run that is over can be no more: a run ends when all its workers are over.
        guard let (run, worker) = worker(named: name) else { return nil }
        return worker.zygote === zygote ? run.handle(message, of: worker) : "it told of a worker that is not its own"
    }

    func failed(_ zygote: ZygoteProcess, _ reason: String, for runs: Set<Int>) {
        for run in self.runs where runs.contains(run.number) { run.zygoteFailed(zygote, reason) }
    }

    func killWorkers(of zygote: ZygoteProcess, for runs: Set<Int>) -> [ProcessDescriptor] {
        let workers = self.runs.filter { runs.contains($0.number) }.flatMap { $0.workers(of: zygote) }
        for worker in workers { worker.killProcesses() }
        return workers.compactMap(\.pidfd)
    }

    func died(_ zygote: ZygoteProcess, for runs: Set<Int>, unless reason: String?) {
        for run in self.runs where runs.contains(run.number) { run.zygoteDied(zygote, unless: reason) }
    }
}
