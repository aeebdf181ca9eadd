import Glibc
import Sandbox
import Scheduler
import System

/// Watches for models that keep slots without getting on while runs wait, and for those that take more of the processors than their share.
///
/// Owns what is known of them from earlier looks, and when the next one is due. Used on the engine's thread.
final class SlotWatcher {
    private var watch = SlotWatch()
    private var isMeasuring = false
    /// When workers were last measured, in nanoseconds of the monotonic clock.
    private var measuredAt: UInt64 = 0

    /// How often processes are told to give way, in nanoseconds.
    private static let evenPeriod: UInt64 = 1_000_000_000

    /// Looks at the workers when somebody waits for a slot, or when nothing but this keeps one run from taking another one's processor time. They
    /// are measured on another thread: there may be thousands of processes.
    func look(at engine: Engine) {
        let now = MonotonicClock.nanoseconds()
        let isDue = watch.isDue(waiting: engine.resources.runsWithoutSlot, at: now)
        let evensOut = engine.runs.count > 1 && !engine.sharesProcessor && now >= measuredAt + Self.evenPeriod
        guard !isMeasuring, isDue || evensOut else { return }
        isMeasuring = true
        measuredAt = now
        let workers = engine.runs.flatMap { run in
            run.workers.values.compactMap { worker -> MeasuredWorker? in
                guard worker.grant != nil, let process = try? worker.pidfd?.process() else { return nil }
                return MeasuredWorker(
                    key: .init(run.number, worker.model), heldSince: worker.sentAt, process: process)
            }
        }
        engine.background.begin(.measure) { () -> [SlotWatch.Sample] in
            workers.map { $0.measured(evensOut: evensOut) }
        } then: { [weak self, weak engine] samples in
            self?.isMeasuring = false
            if isDue, let engine { self?.judge(samples, of: engine) }
        }
    }

    private func judge(_ samples: [SlotWatch.Sample], of engine: Engine) {
        let granted = Set(engine.resources.grantedModels)
        let samples = samples.filter { granted.contains($0.key) }.sorted { $0.key < $1.key }
        let findings = watch.look(
            at: samples, waiting: engine.resources.runsWithoutSlot, at: MonotonicClock.nanoseconds())
        // Whoever waits is told before it is lent what it waits for.
        for case .waits(let number, let nanoseconds, let holders) in findings {
            engine.tellWhoHoldsSlots(number, nanoseconds, holders)
        }
        for finding in findings {
            switch finding {
            case .stalled(let key): engine.tell(.stalled(key.run, model: key.model))
            case .progressing(let key): engine.tell(.progressing(key.run, model: key.model))
            case .waits: break
            }
        }
    }

}

extension Engine {
    /// Whether control groups give each run its share of processor time.
    var sharesProcessor: Bool { cgroups?.sharesProcessor ?? false }

    /// Tells a run that waits, and those that have what it waits for.
    fileprivate func tellWhoHoldsSlots(_ number: Int, _ nanoseconds: UInt64, _ holders: [SlotWatch.Holder]) {
        guard let waiting = run(number) else { return }
        let waits = holders.compactMap { holder -> (Run, SlotWait)? in
            guard let run = run(holder.key.run) else { return nil }
            return (
                run,
                SlotWait(
                    run: waiting.id, holder: run.id, model: run.name(of: holder.key.model),
                    heldMilliseconds: Double(holder.heldNanoseconds / 1_000_000),
                    usesProcessor: holder.usesProcessor)
            )
        }
        guard !waits.isEmpty else { return }
        let seconds = nanoseconds / 1_000_000_000
        waiting.noteWaits(waits.map(\.1), "waiting for a slot for \(seconds) s: ")
        for (holder, own) in Dictionary(grouping: waits, by: { $0.0.number }).sorted(by: { $0.key < $1.key }) {
            guard let run = run(holder), run !== waiting else { continue }
            run.noteWaits(own.map(\.1), "run \(waiting.id) has been waiting for a slot for \(seconds) s: ")
        }
    }
}

extension Run {
    /// Says who has slots that somebody waits for; it is in the report as well.
    fileprivate func noteWaits(_ waits: [SlotWait], _ beginning: String) {
        record.add(waits)
        var parts = waits.prefix(Self.slotWaitsTold).map(\.text)
        if waits.count > parts.count { parts.append("and \(waits.count - parts.count) more models") }
        observer?.note(beginning + parts.joined(separator: "; "))
    }

    private static let slotWaitsTold = 4
}

/// A worker to be measured, on any thread.
private struct MeasuredWorker: Sendable {
    let key: ResourceManager.ModelKey
    let heldSince: UInt64
    let process: pid_t

    /// What it uses now. A worker whose threads weigh more than the processors do gives way for the rest of its life.
    func measured(evensOut: Bool) -> SlotWatch.Sample {
        let tree = ProcessTree(of: process)
        if evensOut {
            let nice = Nice.value(
                runningThreads: tree.threads.count(where: \.isRunning), processors: Machine.processorCount())
            for thread in tree.threads where thread.nice < nice { Nice.set(nice, thread: thread.id) }
        }
        return SlotWatch.Sample(
            key: key, heldSince: heldSince,
            processorNanoseconds: tree.threads.isEmpty ? nil : tree.processorNanoseconds)
    }
}
