import Sandbox
import Scheduler
import System

/// What the engines of SQL models get beside their inputs: memory to use, and a folder to spill to.
extension Run {
    /// Whether the model's worker has a folder on a disk for itself.
    func hasScratch(_ model: Int) -> Bool {
        !isPreview(model) && planModel(model).kind == "sql" && engine.scratch.placePath != nil
    }

    /// Makes a worker's folder and has it forked then; without one where that fails or takes too long.
    func provideScratch(_ worker: WorkerProcess, then fork: @escaping (WorkerProcess) -> Void) {
        var isWaiting = true
        let scratch = engine.scratch
        scratch.make(worker.name, for: worker.identity) { [weak self] folder in
            guard let self, isWaiting else {
                if let folder { scratch.remove(folder.name) }
                return
            }
            isWaiting = false
            go(on: worker, with: folder, then: fork)
        }
        engine.timers.after(seconds: ScratchFolders.secondsMax) { [weak self] in
            guard let self, isWaiting else { return }
            isWaiting = false
            go(on: worker, with: nil, then: fork)
        }
    }

    private func go(on worker: WorkerProcess, with folder: ScratchFolder?, then fork: (WorkerProcess) -> Void) {
        // It may be over by now: its zygote has died, or the run has.
        guard workers[worker.id] === worker, worker.zygote.state == .ready, worker.pidfd == nil else {
            if let folder { engine.scratch.remove(folder.name) }
            return
        }
        worker.scratch = folder
        if folder == nil { noteScratchProblem() }
        fork(worker)
        engine.resources.decide()
    }

    private func noteScratchProblem() {
        guard !hasNotedScratch, let place = engine.scratch.placePath else { return }
        hasNotedScratch = true
        let reason = engine.scratch.problem ?? "its disk does not answer"
        observer?.note("SQL models can't spill to \(place), and fail where their memory is short: \(reason)")
    }

    /// What a worker's SQL engine may use; nil for other models.
    func sqlLimits(of model: Int, _ worker: WorkerProcess) -> SQLLimits? {
        guard !isPreview(model), planModel(model).kind == "sql", let grant = worker.grant else { return nil }
        return SQLLimits(
            memoryBytes: grant.memoryBytesMax.map { most in
                SQLLimits.memoryBytes(
                    expectedBytes: grant.expectedBytes, memoryBytesMax: most,
                    slots: min(options.slots ?? .max, engine.options.slots))
            }, isRetry: scheduler.isRetry(model), scratch: worker.scratch, placePath: engine.scratch.placePath)
    }
}

/// What the engine of a SQL model may use.
struct SQLLimits {
    /// Memory of its worker, in bytes; nil for no limit.
    var memoryBytes: Int?
    /// Whether an earlier worker had too little memory.
    var isRetry: Bool
    /// Where it spills what is more; nil for nowhere.
    var scratch: ScratchFolder?
    /// The folder of the host that this lies in, for messages.
    var placePath: String?

    /// What it is expected to need, and its share of what would be left: others may be granted something in the meantime, and a worker that
    /// uses less spills where it could have been killed.
    static func memoryBytes(expectedBytes: Int, memoryBytesMax: Int, slots: Int) -> Int {
        let expected = max(0, min(expectedBytes, memoryBytesMax))
        return expected + max(0, memoryBytesMax - expected) / max(1, slots)
    }

    /// As in the message `run`.
    var members: [String: JSONValue] {
        var members: [String: JSONValue] = [:]
        if let memoryBytes { members["memory_bytes"] = .integer(Int64(clamping: memoryBytes)) }
        if isRetry { members["retry"] = true }
        if let scratch {
            members["scratch"] = .string(scratch.pathOfWorker)
            members["scratch_bytes_max"] = .integer(Int64(clamping: scratch.bytesMax))
            if let placePath { members["scratch_place"] = .string(placePath) }
        }
        return members
    }
}
