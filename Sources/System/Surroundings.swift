import Glibc

/// The parts of a process's surroundings that it hands on to all that it starts.
public enum Surroundings {
    /// The namespaces in which files, users and processes have their names, the root, and the groups: of two processes of one user
    /// whose texts are equal, what one starts sees and may read what the other's would. nil where that can't be told.
    public static func text() -> String? {
        let namespaces = ["mnt", "user", "pid"].map { Files.linkTarget("/proc/self/ns/\($0)") }
        var root = stat()
        let count = getgroups(0, nil)
        guard !namespaces.contains(nil), stat("/", &root) == 0, count >= 0 else { return nil }
        var groups = [gid_t](repeating: 0, count: Int(count))
        guard getgroups(count, &groups) == count else { return nil }
        let names = namespaces.compactMap(\.self) + groups.sorted().map { "\($0)" }
        return "\(root.st_dev) \(root.st_ino) \(getegid()) " + names.joined(separator: " ")
    }

    /// A limit that the kernel keeps a process to, as `getrlimit` has it: both are -1 where there is none.
    public struct ResourceLimit: Sendable, Equatable {
        /// The one in force.
        public let soft: Int64
        /// The one that it may be raised to.
        public let hard: Int64
    }

    /// How many kinds there are: RLIM_NLIMITS of <asm-generic/resource.h>.
    private static let limitCount = 16

    /// The limits of this process by their numbers, which are the kernel's; nil for one that it does not know.
    public static func limits() -> [ResourceLimit?] {
        (0..<limitCount).map { number in
            var limit = rlimit()
            guard getrlimit(__rlimit_resource_t(UInt32(number)), &limit) == 0 else { return nil }
            return ResourceLimit(
                soft: Int64(bitPattern: UInt64(limit.rlim_cur)), hard: Int64(bitPattern: UInt64(limit.rlim_max)))
        }
    }
}
