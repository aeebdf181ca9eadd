import Glibc
import Scheduler
import System

/// How a run waits: one `poll` over signals, zygotes, workers and what they print.
extension Run {
    /// Waits until something happens, at most a tenth of a second, and handles it.
    func waitAndHandle() {
        var entries: [(raw: Int32, events: Poll.Events)] = []
        var handlers: [(Poll.Events) -> Void] = []
        func watch(_ raw: Int32, _ events: Poll.Events, _ handler: @escaping (Poll.Events) -> Void) {
            entries.append((raw, events))
            handlers.append(handler)
        }
        if let signals { watch(signals.raw, .read) { _ in self.handleSignals() } }
        watch(engine.groupEntry.reading.raw, .read) { _ in self.handleGroupEntries() }
        for zygote in engine.zygotes.values where zygote.state != .dead {
            watch(zygote.channel.socket.raw, zygote.channel.interest) { _ in self.handle(zygote) }
            if !zygote.output.isClosed {
                watch(zygote.output.descriptor.raw, .read) { _ in self.printOutput(of: zygote) }
            }
        }
        for worker in workers.values {
            if !worker.channel.isClosed {
                watch(worker.channel.socket.raw, worker.channel.interest) { ready in
                    if ready.contains(.write) { worker.channel.flush() }
                    self.handleMessages(of: worker)
                }
            }
            if !worker.output.isClosed {
                watch(worker.output.descriptor.raw, .read) { _ in self.printOutput(of: worker) }
            }
        }
        guard let ready = try? Poll.wait(entries, timeoutMilliseconds: 100) else {
            preconditionFailure("poll failed on descriptors of our own")
        }
        for (index, events) in ready.enumerated() where events.rawValue != 0 { handlers[index](events) }
        checkDeadlines()
        observer?.tick()
    }

    private func handleSignals() {
        while let signal = try? signals?.next() {
            cancelCount += 1
            observer?.note(signal == SIGINT ? "interrupted: stopping all models" : "terminated: stopping all models")
            feed(.cancel)
            // Whoever asks twice does not want to wait for anything.
            if cancelCount > 1 { for zygote in engine.zygotes.values { fail(zygote, "it was ended") } }
        }
    }

    private func checkDeadlines() {
        let now = MonotonicClock.nanoseconds()
        for worker in workers.values {
            if let deadline = worker.deadline, now >= deadline {
                worker.deadline = nil
                // A worker that does not exist yet can't be killed: the zygote hangs.
                if scheduler.isForking(worker.id), !worker.isEntering, let zygote = engine.zygotes[worker.key] {
                    fail(zygote, "it did not fork a worker within \(Int(Self.graceSeconds)) seconds")
                } else {
                    feed(.timedOut(worker.id))
                }
            }
            if let zygote = engine.zygotes[worker.key], isLost(worker, now) {
                fail(zygote, "it did not tell of the end of a worker")
            }
        }
        for zygote in engine.zygotes.values where zygote.state == .starting && now >= zygote.deadline {
            fail(zygote, "it was not ready within \(Int(Engine.zygoteSecondsMax)) seconds")
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

    private func handle(_ zygote: ZygoteProcess) {
        zygote.channel.flush()
        while zygote.state != .dead {
            switch zygote.channel.receive() {
            case .nothing: return
            case .closed: fail(zygote, "it ended")
            case .malformed(let what): fail(zygote, "it sent \(what)")
            case .message(let message, let descriptors): handle(message, descriptors, from: zygote)
            }
        }
    }

    private func handle(_ message: Datagram, _ descriptors: [DescriptorBox], from zygote: ZygoteProcess) {
        if message.op == "ready" {
            zygote.state = .ready
            if isOurs(zygote) { feed(.zygoteReady(environment: zygote.key.name)) }
            return
        }
        guard let name = message.body["worker"]?.string else {
            return fail(zygote, "it sent a message without a worker")
        }
        // A worker of an earlier run of this engine can be no more: a run ends when all its workers are over.
        guard let worker = workers.values.first(where: { $0.name == name }) else { return }
        let isForking = scheduler.isForking(worker.id)
        switch message.op {
        case "forked" where isForking && worker.pidfd == nil:
            guard descriptors.count == 1 else { return fail(zygote, "it sent no descriptor of a worker") }
            forked(worker, descriptors[0])
        case "fork-failed" where isForking && worker.pidfd == nil:
            let reason = message.body["message"]?.string ?? "no reason given"
            workers[worker.id] = nil
            free(worker)
            feed(.forkFailed(worker.id, reason: reason))
        case "exited" where !isForking || worker.isEntering:
            exited(worker, message)
        default:
            fail(zygote, "it sent an unexpected message '\(message.op.prefix(40))'")
        }
    }

    /// Whether this run uses the zygote; another one may have been started by an earlier run.
    private func isOurs(_ zygote: ZygoteProcess) -> Bool {
        scheduler.graph.environments.contains(zygote.key.name)
    }

    /// A zygote is dead, or is killed now; its workers die with it, as it is the first process of their pid namespace.
    ///
    /// Returns when all of them are dead: what they published may then be sealed.
    func fail(_ zygote: ZygoteProcess, _ reason: String) {
        guard zygote.state != .dead else { return }
        zygote.state = .dead
        engine.zygotes[zygote.key] = nil
        let orphans = workers.values.filter { $0.key == zygote.key }
        // Without a sandbox they are processes like any other.
        for worker in orphans { killProcesses(of: worker) }
        zygote.zygote.kill()
        zygote.zygote.wait()
        for worker in orphans { waitForEnd(of: worker) }
        zygote.record(zygote.output.lines())
        let details = zygote.lastLines.isEmpty ? "" : ":\n  " + zygote.lastLines.joined(separator: "\n  ")
        guard isOurs(zygote) else { return }
        feed(.zygoteFailed(environment: zygote.key.name, reason: "the zygote failed: \(reason)\(details)"))
        // Those that were not forked yet are over with that.
        for worker in orphans where workers[worker.id] != nil {
            worker.exit = Worker.Exit(status: 0, signal: SIGKILL, memoryBytesMax: 0, cpuMilliseconds: 0)
            while handleMessages(of: worker) {}
            end(worker)
        }
    }

    private func waitForEnd(of worker: Worker) {
        guard let pidfd = worker.pidfd else { return }
        _ = try? Poll.wait([(pidfd.raw, .read)], timeoutMilliseconds: Int(Self.graceSeconds) * 1000)
    }

    // MARK: What user code prints

    private func printOutput(of zygote: ZygoteProcess) {
        let lines = zygote.output.lines()
        zygote.record(lines)
        // Warnings of packages while they are imported are of interest only if the zygote fails.
    }

    func printOutput(of worker: Worker) {
        for line in worker.output.lines() { observer?.printed(name(of: worker.model), line: line) }
    }
}
