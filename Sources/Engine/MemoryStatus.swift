import Store
import System

/// How much memory an engine's workers and tables hold, at one moment.
public struct MemoryStatus: Codable, Sendable, Equatable {
    /// What they hold, in bytes; each byte once, whoever shares it, and what is kept for later outputs too.
    public var bytes: UInt64
    /// What each running model's worker holds for itself, in bytes; its result is part of it.
    public var workers: [String: UInt64]
}

extension Engine {
    /// Tells observers what is held, when it is time.
    func tellMemory() {
        let now = MonotonicClock.nanoseconds()
        guard runs.contains(where: { $0.observer != nil }), now >= toldMemoryAt + 500_000_000 else { return }
        toldMemoryAt = now
        guard let usage = try? store.usage() else { return }
        var bytes = UInt64(usage.residentBytes + usage.pooledBytes)
        var workers: [ObjectIdentifier: [String: UInt64]] = [:]
        for run in runs {
            for worker in run.workers.values {
                // Shared memory that it was the first to touch is in the store's figures.
                let own = worker.cgroup?.anonymousBytes ?? 0
                bytes += own
                let output = UInt64(store.outputResidentBytes(of: worker.storeID))
                workers[ObjectIdentifier(run), default: [:]][run.name(of: worker.model)] = own + output
            }
        }
        for run in runs {
            run.observer?.memory(MemoryStatus(bytes: bytes, workers: workers[ObjectIdentifier(run)] ?? [:]))
        }
    }
}
