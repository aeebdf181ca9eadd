import Glibc
import System

/// The users of the host that the users of a sandbox are mapped to.
struct UserMap {
    /// The host's user that user 0 inside is.
    var userFirst: UInt32
    /// The host's group that group 0 inside is.
    var groupFirst: UInt32
    /// How many there are.
    var count: UInt32

    /// Far above what systems give out to accounts and containers, below the numbers that are negative as 32-bit ones.
    static let first: UInt32 = 0x6a00_0000
    /// Room for a worker each, for as long as numbers are not reused at once.
    static let count: UInt32 = 65_536

    /// A range of users of its own where the engine is root and owns them; else the engine's own user alone.
    static let available: UserMap =
        if geteuid() == 0, isMapped(first, count, "/proc/self/uid_map"), isMapped(first, count, "/proc/self/gid_map") {
            UserMap(userFirst: first, groupFirst: first, count: count)
        } else {
            UserMap(userFirst: geteuid(), groupFirst: getegid(), count: 1)
        }

    /// In a container root may own only some of the host's ids.
    private static func isMapped(_ first: UInt32, _ count: UInt32, _ path: String) -> Bool {
        guard let bytes = try? Files.read(path, bytesMax: 64 << 10) else { return false }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").contains { line in
            let numbers = line.split(separator: " ").compactMap { UInt64($0) }
            return numbers.count == 3 && numbers[0] <= UInt64(first)
                && UInt64(first) + UInt64(count) <= numbers[0] + numbers[2]
        }
    }
}

/// The user that one worker runs as, in its zygote's user namespace.
public struct WorkerUser: Sendable, Equatable {
    /// User and group id inside.
    public let uid: UInt32

    /// The same user and group outside of all sandboxes.
    public var outside: (user: UInt32, group: UInt32) {
        (UserMap.available.userFirst + uid, UserMap.available.groupFirst + uid)
    }
}

/// Hands out users, so that no two workers that live at the same time share one.
public final class WorkerUsers {
    private static let first: UInt32 = 1000
    private var next = WorkerUsers.first
    private var inUse: Set<UInt32> = []

    /// All users are free.
    public init() {}

    /// Whether workers can have users of their own on this machine.
    public static var isAvailable: Bool { UserMap.available.count > 1 }

    /// The next user that no worker has. Traps when tens of thousands of workers are alive.
    public func take() -> WorkerUser {
        precondition(inUse.count < Int(UserMap.count - Self.first) / 2, "more workers than users")
        while inUse.contains(next) { advance() }
        inUse.insert(next)
        defer { advance() }
        return WorkerUser(uid: next)
    }

    /// Takes back the user of a worker that is dead with all it started.
    public func give(back identity: WorkerUser) { inUse.remove(identity.uid) }

    private func advance() { next = next + 1 < UserMap.count ? next + 1 : Self.first }
}
