import Glibc
import Sandbox
import System

/// A planner that an engine that serves has forked from its warm one, for this process alone.
///
/// It is what a planner of this process's own would be: same root, same limits, same questions. Where the engine has none to give, or where one
/// ends in an unusual way, its client starts a planner by itself.
final class ServedPlanner: PlanningProcess {
    /// How long the engine may take to fork, and to say how a planner has ended, in milliseconds.
    private static let answerMilliseconds = 2000

    private let channel: Channel
    private let process: ProcessDescriptor

    var raw: Int32 { channel.socket.raw }

    /// What the planner is to do, read by it alone.
    private struct Work: Encodable {
        let arguments: [String]
        let environment: [String: String]
        let paths: [String]
        let links: [String]
        let limits: [[Int64]?]
        let tmpBytesMax: UInt64
        let memoryBytesMax: UInt64
        let outputBytesMax: UInt64

        enum CodingKeys: String, CodingKey {
            case arguments, environment, paths, links, limits
            case tmpBytesMax = "tmp_bytes_max"
            case memoryBytesMax = "memory_bytes_max"
            case outputBytesMax = "output_bytes_max"
        }
    }

    /// Has a planner from the engine that serves at the address; nil when there is none to be had.
    ///
    /// - Parameters:
    ///   - call: who asks.
    ///   - arguments: the planner's own.
    ///   - spec: the same planner as a process of the caller's.
    init?(
        at address: ServeAddress, _ call: PlannerCall, _ arguments: [String], _ spec: ReaderSpec,
        control: borrowing FileDescriptor, output: borrowing FileDescriptor, errors: borrowing FileDescriptor
    ) {
        do {
            let (ours, theirs) = try MessageSocket.pair()
            // A socket in a folder that others can write to may be anybody's, and so may one that another user listens at.
            let folder = try address.privateFolder()
            // The path goes through the folder's descriptor.
            let engine = try withExtendedLifetime(folder) {
                try MessageSocket.connect(to: folder.kernelPath(address.name)).socket
            }
            try engine.send(call.message.utf8, descriptors: [theirs.raw], wait: false)
            let root = try spec.root()
            let work = Work(
                arguments: arguments, environment: spec.environment, paths: root.map(\.path),
                links: root.map { $0.link ?? "" },
                limits: Surroundings.limits().map { $0.map { [$0.soft, $0.hard] } }, tmpBytesMax: Reader.tmpBytesMax,
                memoryBytesMax: spec.memoryBytesMax, outputBytesMax: spec.outputBytesMax)
            let file = try FileDescriptor.sealedMemory(named: "planner-work", try ServeMessage.payload(work))
            try ours.send(
                Datagram.message(Op.ToPlanner.plan).utf8,
                descriptors: [file.raw, control.raw, output.raw, errors.raw], wait: false)
            channel = Channel(ours)
        } catch {
            return nil
        }
        guard case .forked(let process)? = Self.next(channel) else { return nil }
        self.process = process
    }

    /// A message of the warm planner's.
    private enum Said {
        case forked(ProcessDescriptor)
        case exited(ChildProcess.Ending)

        init(_ message: Datagram, _ descriptors: [DescriptorBox]) throws(Malformed) {
            switch Op.Planner(rawValue: message.op) {
            case .forked where descriptors.count == 1:
                guard let own = try? descriptors[0].descriptor.duplicate() else {
                    throw Malformed("a descriptor too many")
                }
                self = .forked(ProcessDescriptor(own))
            case .exited:
                let (status, signal) = (message.body["status"]?.integer, message.body["signal"]?.integer)
                guard let number = Int32(exactly: status ?? signal ?? -1), number >= 0 else {
                    throw Malformed("an end of no kind")
                }
                self = .exited(status == nil ? .signalled(number) : .exited(number))
            default: throw .unknown(message.op)
            }
        }
    }

    /// Waits for the next message; nil when the other end says nothing, or nothing of use.
    private static func next(_ channel: Channel) -> Said? {
        guard let ready = try? Poll.wait([(channel.socket.raw, .read)], timeoutMilliseconds: answerMilliseconds),
            !ready[0].isEmpty, case .message(let said) = channel.receive(Said.init)
        else { return nil }
        return said
    }

    func kill() { try? process.send(signal: SIGKILL) }

    /// The warm planner reaps it.
    func leave() -> (any Sendable)? {
        kill()
        return nil
    }

    func end() -> ChildProcess.Ending? {
        guard case .exited(let ending)? = Self.next(channel) else {
            // Whatever became of the one that has forked it: nothing of it is left behind.
            kill()
            _ = try? Poll.wait([(process.raw, .read)], timeoutMilliseconds: Self.answerMilliseconds)
            return nil
        }
        return ending
    }
}

/// A client's call for a planner of the engine that serves.
struct PlannerCall {
    /// The client's build.
    let build: String
    /// What a planner would have from its caller without being told.
    let surroundings: String

    /// The variables that Python reads when it starts.
    private static let variables = ["LANG", "LC_ALL", "LD_LIBRARY_PATH"]

    /// This process's own; nil where its surroundings can't be told.
    init?(_ installation: Installation, _ environment: [String: String]) {
        guard let text = Surroundings.text() else { return nil }
        build = ServeAddress.build(of: installation)
        surroundings = ([text] + Self.variables.map { environment[$0].map { "=" + $0 } ?? "" }).joined(separator: "\n")
    }

    /// Reads a client's.
    init(_ body: JSONValue) {
        build = body["build"]?.string ?? ""
        surroundings = body["surroundings"]?.string ?? ""
    }

    var message: JSONValue {
        Datagram.message(Op.Client.planner, ["build": .string(build), "surroundings": .string(surroundings)])
    }
}

extension PlannerCall: Equatable {}
