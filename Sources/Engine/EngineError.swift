/// Why the engine could not do what it was asked to, in words for the user.
public enum EngineError: Error, CustomStringConvertible {
    /// The project has mistakes: all that can be found before anything runs.
    case project([Plan.Problem])
    /// The planner itself failed or spoke a language we do not know.
    case planner(String)
    /// The project's prepare command failed.
    case prepare(String)
    /// A zygote could not be started.
    case zygote(String)
    /// A process broke the protocol.
    case protocolBroken(String)
    /// A message to another process, by its op, has so many bytes.
    case messageTooLong(String, Int)
    /// An engine can't serve, or one that serves is gone.
    case serve(String)
    /// A signal asked the engine to stop.
    case interrupted
    /// The installation lacks something.
    case installation(String)
    /// An option names what can't be used.
    case options(String)

    /// The message, without a trailing full stop.
    public var description: String {
        switch self {
        case .project(let problems): problems.map(\.text).joined(separator: "\n")
        case .planner(let message): "the planner failed: \(message)"
        case .prepare(let message): message
        case .zygote(let message): message
        case .protocolBroken(let message): message
        case .messageTooLong(let op, let bytes):
            "the message '\(op)' has \(bytes) bytes, and at most \(Limit.messageBytesMax) can be sent"
        case .serve(let message): message
        case .interrupted: "interrupted"
        case .installation(let message): message
        case .options(let message): message
        }
    }
}
