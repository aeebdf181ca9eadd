import Glibc

extension SystemCall {
    /// Waiting for descriptors.
    public static let poll: SystemCall = "poll"
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
