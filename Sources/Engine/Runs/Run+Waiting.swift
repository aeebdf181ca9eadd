import Glibc
import Scheduler
import System

/// What a run waits for in the engine's loop: its workers' messages and output, and the end of their time.
extension Run {
    /// Adds the descriptors that the run waits for: those of its workers, and of their output.
    func watch(_ watches: inout [Watch]) {
        for worker in workers.values {
            if !worker.channel.isClosed {
                watches.append(
                    Watch(worker.channel.socket.raw, worker.channel.interest) { ready in
                        if ready.contains(.write) { worker.channel.flush() }
                        self.hear(worker)
                    })
            }
            if !worker.output.isClosed {
                watches.append(
                    Watch(worker.output.descriptor.raw, isReady: worker.output.hasMore) { _ in
                        self.print(worker.output.lines(), of: worker)
                    })
            }
        }
    }

    func print(_ lines: [String], of worker: WorkerProcess) {
        if !lines.isEmpty { observer?.printed(name(of: worker.model), lines: lines) }
    }

    /// Ends what has taken too long.
    func checkDeadlines(_ now: UInt64) {
        for worker in workers.values {
            if worker.isOverdue(now) {
                // A worker that does not exist yet can't be killed: the zygote hangs.
                if scheduler.isForking(worker.id), !worker.isEntering, worker.zygote.state == .ready {
                    engine.zygotes.fail(
                        worker.zygote,
                        "it did not fork a worker within \(Int(WorkerProcess.graceSeconds)) seconds")
                } else {
                    feed(.timedOut(worker.id))
                }
            }
            if worker.zygote.state == .ready, worker.isLost(now, whenCancelled: isCancelled) {
                engine.zygotes.fail(worker.zygote, "it did not tell of the end of a worker")
            }
        }
    }
}
