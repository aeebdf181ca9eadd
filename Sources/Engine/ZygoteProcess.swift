import Sandbox
import System

/// What a zygote must offer to a model: workers of one zygote share its packages and permissions.
struct ZygoteKey: Hashable {
    /// The environment's id.
    var environment: String
    /// Whether its workers may use the network.
    var hasNetwork: Bool
    /// Folders its workers may read beside the project.
    var readPaths: [String]
    /// The project's folder; nil for workers that run none of its code.
    var projectFolder: String?

    /// The key of a model of a plan.
    init(_ model: Plan.Model, of plan: Plan) {
        environment = model.environment
        hasNetwork = model.network
        readPaths = model.readPaths
        projectFolder = model.kind == "python" ? plan.project.folder : nil
    }

    /// The key of workers that show a table: they need nothing but the environment.
    init(previewsIn environment: String) {
        self.environment = environment
        hasNetwork = false
        readPaths = []
    }

    /// The key as the scheduler's environment; unique.
    var name: String {
        ([environment, hasNetwork ? "network" : "", projectFolder ?? ""] + readPaths).joined(separator: "\u{1f}")
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
