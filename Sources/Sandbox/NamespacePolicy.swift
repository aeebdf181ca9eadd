import Glibc
import System

/// This machine's settings about namespaces, for this process's user.
struct NamespacePolicy: Equatable {
    /// Whether the engine's user is root.
    var isRoot: Bool
    /// `user.max_user_namespaces`; nil where the kernel has no such setting.
    var namespacesMax: Int?
    /// `kernel.unprivileged_userns_clone`, which some distributions add.
    var isCloneAllowed: Bool?
    /// `kernel.apparmor_restrict_unprivileged_userns`, as on Ubuntu.
    var isAppArmorRestricting: Bool?
    /// Whether a system call filter is on this process already, as in most containers.
    var isFiltered: Bool

    /// As it is now.
    static var current: NamespacePolicy {
        NamespacePolicy(
            isRoot: geteuid() == 0,
            namespacesMax: number("/proc/sys/user/max_user_namespaces"),
            isCloneAllowed: number("/proc/sys/kernel/unprivileged_userns_clone").map { $0 != 0 },
            isAppArmorRestricting: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").map { $0 != 0 },
            isFiltered: CgroupTree.lines("/proc/self/status").contains {
                $0.hasPrefix("Seccomp:") && !$0.hasSuffix("\t0")
            })
    }

    /// What to change so that namespaces can be made: the setting that forbids it, or all that might.
    var remedy: String {
        var causes: [String] = []
        if namespacesMax == 0 { causes.append("allow user namespaces: sysctl user.max_user_namespaces=15000") }
        if !isRoot, isCloneAllowed == false {
            causes.append("allow them to ordinary users: sysctl kernel.unprivileged_userns_clone=1")
        }
        if !isRoot, isAppArmorRestricting == true {
            causes.append(
                "let AppArmor allow them: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for zerrow "
                    + "that grants userns")
        }
        if isFiltered {
            causes.append(
                "the container's system call filter may forbid them: docker run --security-opt seccomp=unconfined")
        }
        if causes.isEmpty { causes.append("this machine's security policy forbids namespaces: see 'zerrow doctor'") }
        return causes.joined(separator: "; ") + "; " + SandboxError.withoutSandbox
    }

    private static func number(_ path: String) -> Int? {
        CgroupTree.lines(path).first.flatMap { Int($0.split(separator: "\t").first ?? "") }
    }
}
