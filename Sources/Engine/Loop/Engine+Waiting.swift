import Glibc
import Scheduler
import System

/// A descriptor to wait for, and the handler to call when it is ready.
struct Watch {
    let raw: Int32
    let events: Poll.Events
    /// Whether to call the handler in any case, because bytes were read before and left for now.
    let isReady: Bool
    let handler: (Poll.Events) -> Void

    init(
        _ raw: Int32, _ events: Poll.Events = .read, isReady: Bool = false,
        _ handler: @escaping (Poll.Events) -> Void
    ) {
        self.raw = raw
        self.events = events
        self.isReady = isReady
        self.handler = handler
    }
}

/// How the engine waits: one `poll` over signals, zygotes, and the workers of all runs.
extension Engine {
    /// Waits until something happens, at most a tenth of a second, and handles it.
    func waitAndHandle(beside others: [Watch] = []) {
        var watches = others
        watches.append(Watch(background.reading.raw) { _ in self.background.finish() })
        for zygote in zygotes.values where zygote.state != .dead {
            watches.append(Watch(zygote.channel.socket.raw, zygote.channel.interest) { _ in self.handle(zygote) })
            if !zygote.output.isClosed {
                // Warnings of packages while they are imported are of interest only if the zygote fails.
                watches.append(
                    Watch(zygote.output.descriptor.raw, isReady: zygote.output.hasMore) { _ in
                        zygote.record(zygote.output.lines())
                    })
            }
        }
        for run in runs { run.watch(&watches) }
        do throws(SystemError) {
            let isReady = watches.contains(where: \.isReady)
            let ready = try Poll.wait(
                watches.map { ($0.raw, $0.events) }, timeoutMilliseconds: isReady ? 0 : 100)
            for (watch, events) in zip(watches, ready) where events.rawValue != 0 || watch.isReady {
                watch.handler(events)
            }
        } catch {
            // The kernel has no memory for so many descriptors (ENOMEM): workers end, or run out of time, meanwhile.
            usleep(100_000)
        }
        checkDeadlines()
        measureMemory()
        for run in runs { run.observer?.tick() }
    }

    private func checkDeadlines() {
        let now = MonotonicClock.nanoseconds()
        for run in runs { run.checkDeadlines(now) }
        for zygote in zygotes.values where zygote.state == .starting && now >= zygote.deadline {
            fail(zygote, "it was not ready within \(Int(Engine.zygoteSecondsMax)) seconds")
        }
    }

    /// The worker of that name, and its run; nil when it is over.
    func worker(named name: String) -> (run: Run, worker: Worker)? {
        for run in runs {
            if let worker = run.workers.values.first(where: { $0.name == name }) { return (run, worker) }
        }
        return nil
    }

    // MARK: Zygotes

    private func handle(_ zygote: ZygoteProcess) {
        zygote.channel.flush()
        for _ in 0..<Limit.messagesPerTurn where zygote.state != .dead {
            switch zygote.channel.receive(ZygoteMessage.init) {
            case .nothing: return
            case .closed: fail(zygote, "it ended")
            case .malformed(let what): fail(zygote, "it sent \(what)")
            case .message(let message): handle(message, from: zygote)
            }
        }
    }

    private func handle(_ message: ZygoteMessage, from zygote: ZygoteProcess) {
        guard let name = message.worker else {
            guard zygote.state == .starting else { return fail(zygote, "it said that it is ready, a second time") }
            zygote.state = .ready
            for run in runs where run.uses(zygote) { run.feed(.zygoteReady(environment: zygote.key.name)) }
            return
        }
        // A worker of a run that is over can be no more: a run ends when all its workers are over.
        guard let (run, worker) = worker(named: name) else { return }
        guard worker.key == zygote.key else { return fail(zygote, "it told of a worker that is not its own") }
        if let complaint = run.handle(message, of: worker) { fail(zygote, complaint) }
    }

    /// Ends a zygote that is dead or misbehaves; its workers die with it, as it is the first process of their pid namespace.
    ///
    /// Returns when all of them are dead, so that the tables they published may then be sealed.
    func fail(_ zygote: ZygoteProcess, _ reason: String) {
        guard zygote.state != .dead else { return }
        zygote.state = .dead
        zygotes[zygote.key] = nil
        let users = runs.filter { $0.uses(zygote) }
        let orphans = users.map { run in run.workers.values.filter { $0.key == zygote.key } }
        // Without a sandbox workers are processes like any other, and don't die with their zygote.
        for worker in orphans.joined() { worker.killProcesses() }
        zygote.zygote.kill()
        zygote.zygote.wait()
        for worker in orphans.joined() {
            guard let pidfd = worker.pidfd else { continue }
            _ = try? Poll.wait([(pidfd.raw, .read)], timeoutMilliseconds: Int(Run.graceSeconds) * 1000)
        }
        zygote.record(zygote.output.lines())
        let details = zygote.lastLines.isEmpty ? "" : ":\n  " + zygote.lastLines.joined(separator: "\n  ")
        for (run, workers) in zip(users, orphans) {
            run.zygoteFailed(zygote.key.name, "the zygote failed: \(reason)\(details)", workers)
        }
    }

    /// Ends zygotes that no run uses, the longest unused first, until there are not too many.
    func limitZygotes() {
        let idle = zygotes.values.filter { zygote in !runs.contains { $0.uses(zygote) } }
            .sorted { $0.usedAt < $1.usedAt }
        for zygote in idle.prefix(max(0, zygotes.count - Self.zygotesMax)) { fail(zygote, "it was not needed") }
    }
}
