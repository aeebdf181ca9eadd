import Scheduler
import Store
import System

/// How a small table is handed over while its worker still lives: the end of an address space takes longer than a small model.
///
/// The engine copies what the table names of the worker's output, which is what publishing has copied already; nobody else ever has the copy for
/// writing. So nothing has to be known of the worker, or of what it has started, and readers start at once. The model's slot, its memory and
/// its inputs stay taken until the worker is dead.
extension Run {
    /// The longest stretch of an output that is copied on the engine's thread, in bytes.
    private static let copiedBytesMax = 256 << 10
    /// The longest SIPC descriptor that is decoded there, in bytes.
    private static let decodedBytesMax = 32 << 10

    /// Hands over what a worker has published, if it is small; else it waits for the worker's end. So does what is wrong: it is said then.
    func handOver(_ published: WorkerMessage.Publication, of worker: WorkerProcess) {
        guard mayBeHandedOver(published, of: worker),
            let work = engine.store.beginHandOver(by: worker.storeID, copiedBytesMax: Self.copiedBytesMax)
        else { return }
        let result = ResultWork(copying: published.descriptor, work)
        guard result.run() == nil, let table = try? engine.store.finish(work)[0] else { return }
        // What its readers print comes after what it has printed.
        print(worker.output.lines(), of: worker)
        let model = worker.model
        take(table, of: model, by: worker, published, rows: result.rows, cgroup: nil)
        worker.noteHandOver()
        noteChange(around: model)
        feed(.handedOver(worker.id))
    }

    /// Whether a result may be small enough, and all of it is in what the worker has published.
    private func mayBeHandedOver(_ published: WorkerMessage.Publication, of worker: WorkerProcess) -> Bool {
        let counts = published.counts
        let isCopied = counts.bornSharedBytes == 0 && counts.deanonymizedBytes == 0
        let isSmall = published.descriptor.bytes <= Self.decodedBytesMax
        // Pieces for other scans are in the same output, and files for the catalog and for exports are the worker's as long as it lives.
        let model = planModel(worker.model)
        let isAll = worker.scan == nil && model.target == nil && model.sink == nil
        let isHeld = HoldPoint.descriptor.isWanted || HoldPoint.trim.isWanted
        return isCopied && isSmall && isAll && !isHeld && worker.exit == nil && scheduler.mayHandOver(worker.id)
    }
}
