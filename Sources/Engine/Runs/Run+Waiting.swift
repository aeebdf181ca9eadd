import Glibc
import Scheduler
import System

/// What a run waits for, and what its zygotes say of its workers.
extension Run {
    /// Adds what the run waits for: its workers, and what they print.
    func watch(_ watches: inout [Watch]) {
        for worker in workers.values {
            if !worker.channel.isClosed {
                watches.append(
                    Watch(worker.channel.socket.raw, worker.channel.interest) { ready in
                        if ready.contains(.write) { worker.channel.flush() }
                        self.handleMessages(of: worker)
                    })
            }
            if !worker.output.isClosed {
                watches.append(Watch(worker.output.descriptor.raw) { _ in self.printOutput(of: worker) })
            }
        }
    }

    /// The user wants it to stop. Whoever asks twice does not want to wait for anything.
    func cancel() {
        guard outcome == nil else { return }
        cancelCount += 1
        feed(.cancel)
        if cancelCount > 1 {
            // A zygote that serves others as well is not killed for this.
            for zygote in engine.zygotes.values
            where uses(zygote) && !engine.runs.contains(where: { $0 !== self && $0.uses(zygote) }) {
                engine.fail(zygote, "it was ended")
            }
        }
    }

    func checkDeadlines(_ now: UInt64) {
        for worker in workers.values {
            if let deadline = worker.deadline, now >= deadline {
                worker.deadline = nil
                // A worker that does not exist yet can't be killed: the zygote hangs.
                if scheduler.isForking(worker.id), !worker.isEntering, let zygote = engine.zygotes[worker.key] {
                    engine.fail(zygote, "it did not fork a worker within \(Int(Self.graceSeconds)) seconds")
                } else {
                    feed(.timedOut(worker.id))
                }
            }
            if let zygote = engine.zygotes[worker.key], isLost(worker, now) {
                engine.fail(zygote, "it did not tell of the end of a worker")
            }
        }
    }

    /// Whether a worker is dead, or was never forked, and its zygote does not say so: it hangs.
    private func isLost(_ worker: Worker, _ now: UInt64) -> Bool {
        let seconds: UInt64 = cancelCount > 0 ? 1 : 10
        guard let pidfd = worker.pidfd else {
            guard cancelCount > 0 else { return false }
            worker.deadline = min(worker.deadline ?? .max, now + seconds * 1_000_000_000)
            return false
        }
        guard let killedAt = worker.killedAt, now >= killedAt, now - killedAt >= seconds * 1_000_000_000 else {
            return false
        }
        return (try? Poll.wait([(pidfd.raw, .read)], timeoutMilliseconds: 0))?.first?.contains(.read) ?? false
    }

    // MARK: Zygotes

    /// Whether the run's models are forked from this zygote; another one may serve another run.
    func uses(_ zygote: ZygoteProcess) -> Bool {
        scheduler.graph.environments.contains(zygote.key.name)
    }

    /// A zygote's message about a worker of this run.
    ///
    /// - Returns: what was wrong with it; nil when it was in order.
    func handle(_ message: Datagram, _ descriptors: [DescriptorBox], of worker: Worker) -> String? {
        let isForking = scheduler.isForking(worker.id)
        switch message.op {
        case "forked" where isForking && worker.pidfd == nil:
            guard descriptors.count == 1 else { return "it sent no descriptor of a worker" }
            forked(worker, descriptors[0])
        case "fork-failed" where isForking && worker.pidfd == nil:
            let reason = message.body["message"]?.string ?? "no reason given"
            workers[worker.id] = nil
            free(worker)
            feed(.forkFailed(worker.id, reason: reason))
        case "exited" where !isForking || worker.isEntering:
            exited(worker, message)
        default:
            return "it sent an unexpected message '\(message.op.prefix(40))'"
        }
        return nil
    }

    /// A zygote is dead, and its workers with it.
    func zygoteFailed(_ environment: String, _ reason: String, _ orphans: [Worker]) {
        feed(.zygoteFailed(environment: environment, reason: reason))
        // Those that were not forked yet are over with that.
        for worker in orphans where workers[worker.id] != nil {
            worker.exit = Worker.Exit(status: 0, signal: SIGKILL, memoryBytesMax: 0, cpuMilliseconds: 0)
            while handleMessages(of: worker) {}
            end(worker)
        }
    }

    // MARK: What user code prints

    func printOutput(of worker: Worker) {
        for line in worker.output.lines() { observer?.printed(name(of: worker.model), line: line) }
    }
}
