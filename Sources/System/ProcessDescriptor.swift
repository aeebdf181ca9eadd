import CLinux
import Glibc

extension SystemCall {
    /// Opening a descriptor of a process.
    public static let openProcess: SystemCall = "pidfd_open"
    /// Sending a signal.
    public static let sendSignal: SystemCall = "pidfd_send_signal"
    /// Taking a descriptor out of a process.
    public static let takeDescriptor: SystemCall = "pidfd_getfd"
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

    /// What the process has open by this number, as if it had sent it. `EBADF`: nothing; `EPERM`: it may not be looked into.
    public func take(_ number: Int32) throws(SystemError) -> DescriptorBox {
        let raw = self.raw
        return DescriptorBox(
            FileDescriptor(
                owning: try perform(.takeDescriptor, "descriptor \(number) of process descriptor \(raw)") {
                    zerrow_pidfd_take(raw, number)
                }))
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
