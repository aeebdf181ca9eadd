import CLinux
import Glibc

extension SystemCall {
    /// Opening a descriptor of a process.
    public static let openProcess: SystemCall = "pidfd_open"
    /// Sending a signal.
    public static let sendSignal: SystemCall = "pidfd_send_signal"
    /// Making a descriptor that signals arrive at.
    public static let openSignals: SystemCall = "signalfd"
    /// Waiting for descriptors.
    public static let poll: SystemCall = "poll"
}

/// A process by a descriptor: unlike a number it can never come to mean another process.
public final class ProcessDescriptor: Sendable {
    /// The pidfd; it polls readable once the process has ended.
    public let descriptor: FileDescriptor

    /// Takes ownership of a pidfd, for example one that came with a message.
    public init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

    /// Opens a process by its number. `ESRCH`: there is none.
    public init(process: pid_t) throws(SystemError) {
        descriptor = FileDescriptor(
            owning: try perform(.openProcess, "process \(process)") { zerrow_pidfd_open(process) })
    }

    /// The descriptor's number.
    public var raw: Int32 { descriptor.raw }

    /// Sends a signal. `ESRCH`: the process has ended.
    public func send(signal: Int32) throws(SystemError) {
        let raw = self.raw
        try perform(.sendSignal, "signal \(signal), process descriptor \(raw)") { zerrow_pidfd_signal(raw, signal) }
    }

    /// The process's number here; nil when it has ended or can't be seen from this pid namespace.
    ///
    /// - Throws: `EINVAL` when the descriptor is no pidfd.
    public func process() throws(SystemError) -> pid_t? {
        let path = "/proc/self/fdinfo/\(raw)"
        let text = String(decoding: try Files.read(path, bytesMax: 4096), as: UTF8.self)
        for line in text.split(separator: "\n") where line.hasPrefix("Pid:") {
            guard let number = pid_t(line.dropFirst(4).drop { $0 == " " || $0 == "\t" }) else { break }
            return number > 0 ? number : nil
        }
        throw SystemError(.openProcess, errno: EINVAL, context: "\(path), which describes no process")
    }
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

/// Waiting for several descriptors at once.
public enum Poll {
    /// What a descriptor is ready for.
    public struct Events: OptionSet, Sendable {
        /// The kernel's bits.
        public let rawValue: Int16

        /// From the kernel's bits.
        public init(rawValue: Int16) { self.rawValue = rawValue }

        /// There is something to read, or the end was reached.
        public static let read = Events(rawValue: Int16(POLLIN))
        /// There is room to write.
        public static let write = Events(rawValue: Int16(POLLOUT))
        /// The peer is gone; reported whether asked for or not.
        public static let hangUp = Events(rawValue: Int16(POLLHUP))
        /// An error is pending; reported whether asked for or not.
        public static let error = Events(rawValue: Int16(POLLERR))
        /// The number is no open descriptor; reported whether asked for or not.
        public static let invalid = Events(rawValue: Int16(POLLNVAL))
    }

    /// Waits until a descriptor is ready, and returns for each, in order, what it is ready for.
    ///
    /// - Parameters:
    ///   - entries: descriptors and what to wait for.
    ///   - timeoutMilliseconds: nil waits for ever, 0 does not wait.
    public static func wait(
        _ entries: [(raw: Int32, events: Events)], timeoutMilliseconds: Int? = nil
    ) throws(SystemError) -> [Events] {
        var list = entries.map { pollfd(fd: $0.raw, events: $0.events.rawValue, revents: 0) }
        let deadline = timeoutMilliseconds.map { MonotonicClock.nanoseconds() + UInt64(max($0, 0)) * 1_000_000 }
        try perform(.poll, "\(entries.count) descriptors") { () -> Int32 in
            var left: Int32 = -1
            if let deadline {
                let now = MonotonicClock.nanoseconds()
                left = now >= deadline ? 0 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
            }
            return Glibc.poll(&list, nfds_t(list.count), left)
        }
        return list.map { Events(rawValue: $0.revents) }
    }
}
