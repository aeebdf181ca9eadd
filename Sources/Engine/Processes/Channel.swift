import Glibc
import System

/// The engine's end of a socket to a zygote or a worker: reads messages that have arrived, queues those that the socket can't take.
///
/// Never waits: a peer that does not read makes its queue grow, not the engine stop. Used on the engine's thread alone.
final class Channel {
    let socket: MessageSocket
    private var queue: [Outgoing] = []
    private(set) var isClosed = false
    /// Whether it is to be closed once all that waits is sent.
    private var isEnding = false
    /// When to try again after the kernel had no room for descriptors, in nanoseconds of the monotonic clock.
    private var retriesAt: UInt64?
    /// The bytes that wait to be sent, payloads included.
    private(set) var waitingBytes = 0

    /// A message that waits to be sent.
    private struct Outgoing {
        let bytes: [UInt8]
        /// The descriptors that travel beside it; held until it is sent.
        var descriptors: [DescriptorBox]
        /// The content of a memory file that is to travel beside it. The file is made when it is the message's turn, so that a
        /// peer that does not read costs no descriptors.
        var payload: [UInt8]?

        var count: Int { bytes.count + (payload?.count ?? 0) }
    }

    init(_ socket: MessageSocket) { self.socket = socket }

    /// Messages that wait to be sent.
    var waitingCount: Int { queue.count }

    /// Closes the channel: it receives and sends nothing any more.
    func close() {
        isClosed = true
        queue = []
        waitingBytes = 0
    }

    /// Closes the channel once the peer has been sent all that waits; nothing more is sent to it after that.
    func closeWhenSent() {
        isEnding = true
        flush()
    }

    /// How long a message waits that the kernel had no room for, in nanoseconds.
    private static let retryPeriod: UInt64 = 20_000_000

    /// What to wait for. A socket polls writable also while the kernel takes no descriptors of this user: then its queue waits for time.
    var interest: Poll.Events { queue.isEmpty || isPausing ? .read : [.read, .write] }

    private var isPausing: Bool {
        guard let retriesAt else { return false }
        return MonotonicClock.nanoseconds() < retriesAt
    }

    /// Sends a message, or queues it; the descriptors are held until it is sent. To a peer that is gone, nothing is sent.
    ///
    /// - Parameter payload: content that travels in a sealed memory file, which is then the only descriptor.
    /// - Throws: `EngineError.messageTooLong`. Large content belongs in a file beside the message, but messages also have names
    ///   and texts of other people's, which must not end the engine. The peer can't get the message that it waits for, so the
    ///   channel's owner has to end it.
    func send(
        _ body: JSONValue, _ descriptors: [DescriptorBox] = [], payload: [UInt8]? = nil
    ) throws(EngineError) {
        let bytes = body.utf8
        guard bytes.count <= Limit.messageBytesMax else {
            throw EngineError.messageTooLong(body["op"]?.string ?? "", bytes.count)
        }
        guard !isClosed, !isEnding else { return }
        let message = Outgoing(bytes: bytes, descriptors: descriptors, payload: payload)
        queue.append(message)
        waitingBytes += message.count
        flush()
    }

    /// Sends queued messages as far as the socket takes them.
    func flush() {
        guard !isPausing else { return }
        retriesAt = nil
        while let next = queue.first, !isClosed {
            do {
                if let payload = next.payload, next.descriptors.isEmpty {
                    queue[0].descriptors = [DescriptorBox(try FileDescriptor.sealedMemory(named: "payload", payload))]
                }
                try socket.send(next.bytes, descriptors: queue[0].descriptors.map(\.raw), wait: false)
                queue.removeFirst()
                waitingBytes -= next.count
            } catch  where error.errno == EAGAIN {
                return
            } catch  where Self.passingErrors.contains(error.errno) {
                // Somebody has too many descriptors, open or on their way, or too much in sockets; no event tells of the end of that.
                retriesAt = MonotonicClock.nanoseconds() + Self.retryPeriod
                return
            } catch {
                // The peer is dead or dying; the code that waits for its end reports that.
                isClosed = true
            }
        }
        if isClosed || isEnding && queue.isEmpty { close() }
    }

    /// What says nothing about the peer: the kernel, or this process, has no room for a descriptor or a message now.
    private static let passingErrors: Set<Int32> = [ETOOMANYREFS, ENOBUFS, EMFILE, ENFILE, ENOMEM]

    /// The next message that has arrived.
    enum Arrival<Message> {
        case message(Message)
        /// The peer sent bytes that no peer of ours sends.
        case malformed(String)
        case closed
        case nothing
    }

    /// Takes the next message off the socket, without waiting, and has it read.
    func receive<Message>(
        _ read: (Datagram, [DescriptorBox]) throws(Malformed) -> Message
    ) -> Arrival<Message> {
        do {
            switch try socket.receive(
                bytesMax: Limit.messageBytesMax, descriptorsMax: Limit.descriptorsMax, wait: false)
            {
            case .nothing: return .nothing
            case .closed:
                isClosed = true
                return .closed
            case .message(let message):
                guard let datagram = Datagram(parsing: message.bytes) else {
                    return .malformed("a message that is no JSON object with an op")
                }
                do throws(Malformed) {
                    return .message(try read(datagram, message.descriptors))
                } catch {
                    return .malformed(error.description)
                }
            }
        } catch  where error.errno == EMSGSIZE {
            return .malformed("a message of more than \(Limit.messageBytesMax) bytes or too many descriptors")
        } catch {
            isClosed = true
            return .closed
        }
    }
}
