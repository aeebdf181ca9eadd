import Sandbox
import System

/// What a zygote must offer to a model: workers of one zygote share its packages, and what it can see.
///
/// A zygote sees all that any model of its plan may read; each worker hides from itself what its model may not.
struct ZygoteKey: Hashable {
    /// The environment's id.
    var environment: String
    /// Its interpreter: another plan may mean another one by the same id.
    var python: String
    /// What it imports before it forks.
    var modules: [String]
    /// Whether its workers may use the network.
    var hasNetwork: Bool
    /// Folders that some of its workers may read.
    var readPaths: [String]

    /// The key of a model of a plan.
    init(_ model: Plan.Model, of plan: Plan) {
        guard let declared = plan.environments.first(where: { $0.id == model.environment }) else {
            preconditionFailure("a plan with an unknown environment was not refused")
        }
        environment = declared.id
        python = declared.python
        modules = declared.modules
        hasNetwork = model.network
        readPaths = plan.readPaths
    }

    /// The key as the scheduler's environment; unique.
    var name: String {
        let own = [environment, python, hasNetwork ? "network" : "", modules.joined(separator: ",")]
        return (own + readPaths).joined(separator: "\u{1f}")
    }
}

extension Plan {
    /// All folders that models of the plan may read, the project's included; sorted.
    var readPaths: [String] { Set(models.flatMap(\.readPaths) + [project.folder]).sorted() }

    /// The folders that a model's worker must not see: the sources, but for a scan's own. What holds the project can't be
    /// hidden from it; what lies in a hidden folder is hidden with it, and can't be named any more once that is covered.
    func hiddenPaths(from model: Model?) -> [String] {
        let own = model?.readPaths ?? []
        let hidden = readPaths.filter { path in
            !(project.folder + "/").hasPrefix(path + "/")
                && !own.contains { (($0 + "/").hasPrefix(path + "/")) || (path + "/").hasPrefix($0 + "/") }
        }
        return hidden.filter { path in !hidden.contains { $0 != path && path.hasPrefix($0 + "/") } }
    }
}

/// The engine's side of one zygote.
final class ZygoteProcess {
    enum State { case starting, ready, dead }

    let key: ZygoteKey
    let zygote: Zygote
    let channel: Channel
    let output: LineReader
    var state = State.starting
    /// When a run last began that uses it, in nanoseconds of the monotonic clock.
    var usedAt = MonotonicClock.nanoseconds()
    /// Its last lines, for the message when it fails.
    var lastLines: [String] = []
    /// When it is too late to become ready, in nanoseconds of the monotonic clock.
    let deadline: UInt64

    init(key: ZygoteKey, zygote: Zygote, channel: Channel, output: LineReader, deadline: UInt64) {
        self.key = key
        self.zygote = zygote
        self.channel = channel
        self.output = output
        self.deadline = deadline
    }

    /// Keeps the lines that were printed while it started.
    func record(_ lines: [String]) {
        lastLines = Array((lastLines + lines).suffix(20))
    }
}
