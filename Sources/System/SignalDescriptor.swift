import CLinux
import Glibc

extension SystemCall {
    /// Making a descriptor that signals arrive at.
    public static let openSignals: SystemCall = "signalfd"
}

/// Signals as messages: they are blocked, and read from a descriptor.
public final class SignalDescriptor: Sendable {
    /// Polls readable when a signal is pending.
    public let descriptor: FileDescriptor

    /// Blocks signals in the calling thread and in the threads it makes from now on: call it before there are others.
    public init(_ signals: [Int32]) throws(SystemError) {
        let raw = try perform(.openSignals, "signals \(signals)") {
            signals.withUnsafeBufferPointer { zerrow_signalfd_open($0.baseAddress, $0.count) }
        }
        descriptor = FileDescriptor(owning: raw)
    }

    /// The descriptor's number.
    public var raw: Int32 { descriptor.raw }

    /// The next pending signal, without waiting; nil when there is none.
    public func next() throws(SystemError) -> Int32? {
        let raw = self.raw
        do {
            return try perform(.read, "signal descriptor \(raw)") { zerrow_signalfd_read(raw) }
        } catch  where error.errno == EAGAIN {
            return nil
        }
    }
}
