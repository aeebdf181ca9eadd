import System

/// A message of a client to the engine that serves it, read in this one place.
enum ClientMessage {
    /// It wants a plan run: its build, how it would isolate workers, and the call, which is read in the background.
    case run(build: String?, isolationSettings: String?, call: ReceivedFile)
    /// It wants a planner, to which it has the other end of this socket.
    case planner(PlannerCall, DescriptorBox)
    /// It wants its run stopped.
    case cancel

    /// Reads a message, with the descriptors that came beside it.
    init(_ message: Datagram, _ descriptors: [DescriptorBox]) throws(Malformed) {
        switch Op.Client(rawValue: message.op) {
        case .run:
            self = .run(
                build: message.body["build"]?.string, isolationSettings: message.body["isolation_settings"]?.string,
                call: try ServeMessage.file(message, descriptors))
        case .cancel: self = .cancel
        case .planner:
            guard descriptors.count == 1 else { throw Malformed("a message '\(message.op)' without its socket") }
            self = .planner(PlannerCall(message.body), descriptors[0])
        case nil: throw .unknown(message.op)
        }
    }
}
