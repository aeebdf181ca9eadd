import Glibc
import System

/// The engine's end of a socket to a zygote or a worker: reads what is there, queues what does not fit.
///
/// Never waits: a peer that does not read makes its queue grow, not the engine stop. Used on the engine's thread alone.
final class Channel {
    let socket: MessageSocket
    private var queue: [(bytes: [UInt8], descriptors: [DescriptorBox])] = []
    private(set) var isClosed = false

    init(_ socket: MessageSocket) { self.socket = socket }

    /// Messages that wait to be sent.
    var waitingCount: Int { queue.count }

    /// Hears and says nothing any more.
    func close() {
        isClosed = true
        queue = []
    }

    /// What to wait for.
    var interest: Poll.Events { queue.isEmpty ? .read : [.read, .write] }

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
        while let next = queue.first, !isClosed {
            do {
                try socket.send(next.bytes, descriptors: next.descriptors.map(\.raw), wait: false)
                queue.removeFirst()
            } catch  where error.errno == EAGAIN || error.errno == ETOOMANYREFS || error.errno == ENOBUFS {
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
