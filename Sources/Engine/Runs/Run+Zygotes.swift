import Glibc
import System

/// A run as a user of zygotes: it asks for them, and ends those that hang. What they say of its workers is in `Run.swift`.
extension Run: ZygoteUser {
    func startZygote(_ name: String) {
        guard let key = scheduler.graph.models.indices.lazy.map({ self.key(of: $0) }).first(where: { $0.name == name })
        else { preconditionFailure("no model has the environment \(name)") }
        provideEnvironment(for: key) { [weak self] provided in
            guard let self, outcome == nil else { return }
            do {
                let zygote = try engine.zygotes.zygote(for: key, keeping: try provided.get(), self)
                if zygote.state == .ready { feed(.zygoteReady(environment: name)) }
            } catch let failure as EnvironmentTools.Failure {
                let reason = "its environment can't be made:\n\(failure.text)"
                feed(.zygoteFailed(environment: name, reason: reason))
            } catch {
                feed(.zygoteFailed(environment: name, reason: "\(error)"))
            }
            engine.resources.decide()
        }
    }

    /// The workers that were not forked yet are over with that.
    func failed(_ zygote: ZygoteProcess, _ reason: String) {
        feed(.zygoteFailed(environment: zygote.key.name, reason: reason))
        // What its models made can't be made again.
        engine.tables.noteChangeOfAll()
    }

    func killWorkers(of zygote: ZygoteProcess) -> [ProcessDescriptor] {
        let workers = workers(of: zygote)
        for worker in workers { worker.killProcesses() }
        return workers.compactMap(\.pidfd)
    }

    private func workers(of zygote: ZygoteProcess) -> [WorkerProcess] { workers.values.filter { $0.zygote === zygote } }

    /// What a worker published can't be trusted to stay as it is if some process may be alive.
    func died(_ zygote: ZygoteProcess, unless reason: String?) {
        for worker in workers(of: zygote) {
            while hear(worker) {}
            if let reason, scheduler.isAlive(worker.id) { misbehaved(worker, reason) }
            let exit = WorkerProcess.Exit(status: 0, signal: SIGKILL, memoryBytesMax: 0, cpuMilliseconds: 0)
            worker.exited(exit)
            noteDeath(of: worker, exit)
        }
    }

    /// Ends what has taken too long.
    func checkDeadlines(_ now: UInt64) {
        for worker in workers.values {
            print(worker.output.overdueLines(now), of: worker)
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
