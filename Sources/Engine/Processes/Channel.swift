import Glibc
import System

/// The engine's end of a socket to a zygote or a worker: reads what is there, queues what does not fit.
///
/// Never waits: a peer that does not read makes its queue grow, not the engine stop. Used on the engine's thread alone.
final class Channel {
    let socket: MessageSocket
    private var queue: [(bytes: [UInt8], descriptors: [DescriptorBox])] = []
    private(set) var isClosed = false
    /// When to try again after the kernel had no room for descriptors, in nanoseconds of the monotonic clock.
    private var retriesAt: UInt64?

    init(_ socket: MessageSocket) { self.socket = socket }

    /// Messages that wait to be sent.
    var waitingCount: Int { queue.count }

    /// Hears and says nothing any more.
    func close() {
        isClosed = true
        queue = []
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
    /// - Throws: `EngineError.messageTooLong`: what can be large belongs in a file beside the message, but names and texts
    ///   of others' are in messages too, and must not end the engine.
    func send(_ body: JSONValue, _ descriptors: [DescriptorBox] = []) throws(EngineError) {
        let bytes = body.utf8
        guard bytes.count <= Datagram.bytesMax else {
            throw EngineError.messageTooLong(body["op"]?.string ?? "", bytes.count)
        }
        queue.append((bytes, descriptors))
        flush()
    }

    /// Sends what is queued as far as the socket takes it.
    func flush() {
        guard !isPausing else { return }
        retriesAt = nil
        while let next = queue.first, !isClosed {
            do {
                try socket.send(next.bytes, descriptors: next.descriptors.map(\.raw), wait: false)
                queue.removeFirst()
            } catch  where error.errno == EAGAIN {
                return
            } catch  where error.errno == ETOOMANYREFS || error.errno == ENOBUFS {
                // Somebody has too many descriptors on their way, or too much in sockets; no event tells of the end of that.
                retriesAt = MonotonicClock.nanoseconds() + Self.retryPeriod
                return
            } catch {
                // The peer is dead or dying; its end is reported by whoever waits for it.
                isClosed = true
            }
        }
        if isClosed { queue = [] }
    }

    /// The next message that has arrived.
    enum Arrival {
        case message(Datagram, [DescriptorBox])
        /// The peer sent what no peer of ours sends.
        case malformed(String)
        case closed
        case nothing
    }

    /// Takes the next message off the socket, without waiting.
    func receive() -> Arrival {
        do {
            switch try socket.receive(bytesMax: Datagram.bytesMax, descriptorsMax: Datagram.descriptorsMax, wait: false)
            {
            case .nothing: return .nothing
            case .closed:
                isClosed = true
                return .closed
            case .message(let message):
                guard let datagram = Datagram(parsing: message.bytes) else {
                    return .malformed("a message that is no JSON object with an op")
                }
                return .message(datagram, message.descriptors)
            }
        } catch  where error.errno == EMSGSIZE {
            return .malformed("a message of more than \(Datagram.bytesMax) bytes or too many descriptors")
        } catch {
            isClosed = true
            return .closed
        }
    }
}
