import Glibc
import System

/// The warm planner of an engine that serves: a process that has imported what planners need, and forks one for each client.
///
/// It has read no project and is told nothing but who wants a planner. Owns that process and its socket, and starts another one where it ends.
/// Used on the engine's thread.
final class WarmPlanner {
    /// Seconds until another one is started in place of one that has ended.
    private static let pauseSeconds = 5.0

    private let installation: Installation
    private let environment: [String: String]
    private let timers: Timers
    /// What clients must have in common with it; nil where that can't be told, and nobody gets a planner.
    private let call: PlannerCall?
    private var running: Running?

    private struct Running {
        let child: ChildProcess
        let process: ProcessDescriptor
        let channel: Channel
        var isReady = false
    }

    /// Starts it; it gets warm by itself.
    init(_ installation: Installation, _ environment: [String: String], _ timers: Timers) {
        self.installation = installation
        self.environment = environment
        self.timers = timers
        call = PlannerCall(installation, environment)
        start()
    }

    private func start() {
        guard call != nil, let (ours, theirs) = try? MessageSocket.pair() else { return }
        let start =
            "import sys; sys.path.insert(0, sys.argv[1]); from zerrow.plan.warm import main; sys.exit(main(sys.argv[2]))"
        guard
            let child = try? ChildProcess(
                Planner.program(installation, start) + [installation.workerLibrary],
                environment: Planner.variables(environment), folder: "/", output: .null, errors: .null,
                inherited: [theirs.raw], defaultSignals: [SIGHUP, SIGTERM])
        else { return }
        guard let process = try? ProcessDescriptor(process: child.pid) else {
            child.signal(SIGKILL)
            _ = try? child.wait()
            return
        }
        running = Running(child: child, process: process, channel: Channel(ours))
    }

    /// Adds what is to be waited for.
    func watch(_ watches: inout [Watch]) {
        guard let running else { return }
        watches.append(Watch(running.process.raw) { _ in self.ended() })
        if !running.channel.isClosed {
            watches.append(Watch(running.channel.socket.raw, running.channel.interest) { _ in self.hear() })
        }
    }

    private func hear() {
        running?.channel.flush()
        let said = running?.channel.receive { (message, _) throws(Malformed) in
            guard Op.Planner(rawValue: message.op) == .ready else { throw .unknown(message.op) }
            return true
        }
        switch said {
        case .message: running?.isReady = true
        case .malformed: end()
        case .closed, .nothing, nil: break
        }
    }

    private func ended() {
        _ = try? running?.child.wait()
        running = nil
        timers.after(seconds: Self.pauseSeconds) { [weak self] in self?.start() }
    }

    /// A client asks for a planner. Where it gets none its socket is closed, which tells it.
    func pass(_ client: DescriptorBox, asked: PlannerCall) {
        guard let running, running.isReady, asked == call else { return }
        try? running.channel.send(Datagram.message(Op.ToPlanner.client), [client])
    }

    /// Ends it, and with it all planners.
    func end() {
        guard let running else { return }
        self.running = nil
        running.child.signal(SIGKILL)
        _ = try? running.child.wait()
    }
}
