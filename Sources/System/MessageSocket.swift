import CLinux
import Glibc

extension SystemCall {
    /// Making a socket pair.
    public static let socketPair: SystemCall = "socketpair"
    /// Sending a message.
    public static let sendMessage: SystemCall = "sendmsg"
    /// Receiving a message.
    public static let receiveMessage: SystemCall = "recvmsg"
}

/// A message as it arrived: its bytes, and the descriptors that came beside it.
public struct Message: Sendable {
    /// The content.
    public let bytes: [UInt8]
    /// The descriptors, in the order they were sent, close-on-exec, closed when they are let go of.
    public let descriptors: [DescriptorBox]
}

/// The answer of a socket that is asked for a message.
public enum Receipt: Sendable {
    /// A message.
    case message(Message)
    /// The peer is gone, and everything it had sent was read.
    case closed
    /// Nothing is there yet (only when asked not to wait).
    case nothing
}

/// One end of a connected `SOCK_SEQPACKET` pair: whole messages, with descriptors beside them.
public final class MessageSocket: Sendable {
    /// The most descriptors that the kernel passes beside one message.
    public static let descriptorsMax = Int(ZERROW_MESSAGE_DESCRIPTORS_MAX)

    /// The socket, to hand to a new process or to poll.
    public let descriptor: FileDescriptor

    /// Takes ownership of one end.
    public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// The descriptor's number.
    public var raw: Int32 { descriptor.raw }

    /// Two connected ends, close-on-exec.
    public static func pair() throws(SystemError) -> (MessageSocket, MessageSocket) {
        var ends: (Int32, Int32) = (-1, -1)
        try perform(.socketPair, "a new socket pair") {
            withUnsafeMutableBytes(of: &ends) { zerrow_socket_pair($0.assumingMemoryBound(to: Int32.self).baseAddress) }
        }
        return (MessageSocket(FileDescriptor(owning: ends.0)), MessageSocket(FileDescriptor(owning: ends.1)))
    }

    /// Sends one message, whole or not at all, never raising SIGPIPE.
    ///
    /// - Parameters:
    ///   - bytes: not empty, as an empty message would look like the end to the peer.
    ///   - descriptors: open ones, at most `descriptorsMax`; they stay the caller's.
    ///   - wait: whether to wait while the peer's queue is full; else `EAGAIN`.
    /// - Throws: `EPIPE` or `ECONNRESET` when the peer is gone, `EMSGSIZE` when the message is too long for the socket.
    public func send(_ bytes: [UInt8], descriptors: [Int32] = [], wait: Bool = true) throws(SystemError) {
        precondition(!bytes.isEmpty, "an empty message reads as the end of the stream")
        precondition(descriptors.count <= Self.descriptorsMax, "too many descriptors for one message")
        let raw = self.raw
        try perform(.sendMessage, "socket \(raw), \(bytes.count) bytes, \(descriptors.count) descriptors") {
            bytes.withUnsafeBytes { content in
                descriptors.withUnsafeBufferPointer { list in
                    zerrow_message_send(
                        raw, content.baseAddress, content.count, list.baseAddress, list.count, wait ? 1 : 0)
                }
            }
        }
    }

    /// Receives one message.
    ///
    /// - Parameters:
    ///   - bytesMax: the longest message that is accepted.
    ///   - descriptorsMax: the most descriptors that are accepted.
    ///   - wait: whether to wait for one.
    /// - Throws: `EMSGSIZE` when the message or its descriptors exceed the limits; it is dropped and its descriptors are
    ///   closed.
    public func receive(
        bytesMax: Int, descriptorsMax: Int = MessageSocket.descriptorsMax, wait: Bool = true
    ) throws(SystemError) -> Receipt {
        let raw = self.raw
        var numbers = [Int32](repeating: -1, count: min(descriptorsMax, Self.descriptorsMax))
        let numbersMax = numbers.count
        var descriptorCount = 0
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            do throws(SystemError) {
                count = try perform(.receiveMessage, "socket \(raw)") {
                    zerrow_message_receive(
                        raw, buffer.baseAddress, bytesMax, &numbers, numbersMax, &descriptorCount, wait ? 1 : 0)
                }
            } catch {
                failure = error
            }
        }
        if let failure {
            switch failure.errno {
            case EAGAIN: return .nothing
            // The peer has not read all that it was sent, and is gone. What it had sent is there nevertheless: this error comes before it, once.
            case ECONNRESET:
                return try receive(bytesMax: bytesMax, descriptorsMax: descriptorsMax, wait: wait)
            default: throw failure
            }
        }
        let boxes = numbers.prefix(descriptorCount).map { DescriptorBox(FileDescriptor(owning: $0)) }
        return bytes.isEmpty ? .closed : .message(Message(bytes: bytes, descriptors: boxes))
    }
}
