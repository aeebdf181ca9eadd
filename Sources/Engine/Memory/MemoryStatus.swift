import Scheduler
import Store
import System

/// How much memory an engine's workers and tables hold, at one moment.
public struct MemoryStatus: Codable, Sendable, Equatable {
    /// What they hold, in bytes; each byte once, whoever shares it, and what is kept for later outputs too.
    public var bytes: UInt64
    /// What each running model's worker holds for itself, in bytes; its result is part of it.
    public var workers: [String: UInt64]
    /// How many models of the run could run now and wait for a slot, or for memory.
    public var waitingModels = 0
}

extension Engine {
    /// How long a measurement of memory is good for, in nanoseconds.
    private static let measurePeriod: UInt64 = 250_000_000

    /// Measures what is held, when it is time; tells the resource manager, and observers.
    func measureMemory() {
        let now = MonotonicClock.nanoseconds()
        guard !runs.isEmpty, now >= measuredAt + Self.measurePeriod else { return }
        measuredAt = now
        guard let usage = try? store.usage() else { return }
        var bytes = UInt64(usage.residentBytes + usage.pooledBytes)
        for run in runs {
            var workers: [String: UInt64] = [:]
            for worker in run.workers.values {
                // Shared memory that it was the first to touch is in the store's figures.
                let own = worker.cgroup?.anonymousBytes ?? 0
                bytes += own
                let all = own + UInt64(store.outputResidentBytes(of: worker.storeID))
                workers[run.name(of: worker.model)] = all
                if worker.grant != nil, run.scheduler.isAlive(worker.id) {
                    tell(.used(run.number, model: worker.model, bytes: Int(clamping: all)))
                }
            }
            run.memoryBytes = workers
        }
        for run in runs {
            run.observer?.memory(
                MemoryStatus(bytes: bytes, workers: run.memoryBytes, waitingModels: run.askingCount))
        }
    }
}
