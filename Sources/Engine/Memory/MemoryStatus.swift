import Scheduler
import Store
import System

/// How much memory an engine's workers and tables hold, at one moment.
public struct MemoryStatus: Codable, Sendable, Equatable {
    /// The memory that they hold, in bytes. Each byte counts once, however many share it; memory kept for later outputs counts too.
    public var bytes: UInt64
    /// The memory that each running model's worker holds for itself, in bytes; its result is part of it.
    public var workers: [String: UInt64]
    /// How many models of the run could run now and wait for a slot, or for memory.
    public var waitingModels = 0
}

/// Measures the memory that an engine's runs hold, from time to time.
final class MemoryMeter {
    private var interval = Interval(seconds: 0.25)

    /// Measures, when it is time, and reports to the resource manager and to observers.
    func measure(_ engine: Engine) {
        guard !engine.runs.isEmpty, interval.isOver() else { return }
        engine.tables.noteSome()
        guard let usage = try? engine.store.usage() else { return }
        let workers = engine.runs.map { $0.measureWorkers() }
        let bytes = workers.reduce(UInt64(usage.residentBytes + usage.pooledBytes)) { $0 + $1.bytes }
        for (run, workers) in zip(engine.runs, workers) {
            run.observer?.memory(
                MemoryStatus(bytes: bytes, workers: workers.byModel, waitingModels: run.askingCount))
        }
    }
}

extension Run {
    /// Measures the memory that each worker holds for itself, and reports it to the resource manager.
    ///
    /// - Returns: the memory of all workers that is in none of the store's figures, and that of each model's, in bytes.
    fileprivate func measureWorkers() -> (bytes: UInt64, byModel: [String: UInt64]) {
        var bytes: UInt64 = 0
        var workers: [String: UInt64] = [:]
        for worker in self.workers.values {
            // Shared memory that the worker was the first to touch is in the store's figures.
            let own = worker.cgroup?.anonymousBytes ?? 0
            bytes += own
            let all = own + UInt64(engine.store.outputResidentBytes(of: worker.storeID))
            workers[name(of: worker.model)] = all
            if worker.grant != nil, scheduler.isAlive(worker.id) {
                engine.tell(.used(number, model: worker.model, bytes: Int(clamping: all)))
            }
        }
        return (bytes, workers)
    }
}
