import CLinux
import System

/// Why a process could not be isolated, and what to do about it.
public struct SandboxError: Error, CustomStringConvertible {
    /// What was being done.
    public let step: String
    /// The kernel's answer.
    public let errno: Int32
    /// What to change, where that is known.
    public let remedy: String?

    /// A failed step.
    init(_ step: String, errno: Int32, remedy: String? = nil) {
        self.step = step
        self.errno = errno
        self.remedy = remedy
    }

    /// The step, the reason, the remedy.
    public var description: String {
        "the sandbox could not be made: \(step): \(SystemError.reason(errno))" + (remedy.map { "; \($0)" } ?? "")
    }

    /// The way out that always works.
    static let withoutSandbox = "or choose --no-sandbox, which runs models without isolation"

    /// Reads what a zygote's child reported before its exec.
    init(_ failure: zerrow_zygote_failure, _ layout: [RootEntry]) {
        let entry = Int(failure.entry)
        let path = layout.indices.contains(entry) ? layout[entry].path : "an entry"
        switch UInt32(bitPattern: failure.stage) {
        case ZERROW_STAGE_CLONE.rawValue:
            self.init(
                "making namespaces", errno: failure.error,
                remedy: """
                    the machine forbids user namespaces: allow them (sysctl user.max_user_namespaces, \
                    kernel.unprivileged_userns_clone=1, or on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), \
                    \(Self.withoutSandbox)
                    """)
        case ZERROW_STAGE_ID_MAP.rawValue:
            self.init("mapping users", errno: failure.error, remedy: "see 'zerrow doctor', \(Self.withoutSandbox)")
        case ZERROW_STAGE_ENTRY.rawValue:
            self.init(
                "showing \(path) to the models", errno: failure.error, remedy: "check that it exists and can be read")
        case ZERROW_STAGE_PROC.rawValue:
            self.init(
                "mounting /proc", errno: failure.error,
                remedy:
                    "inside a container, /proc must not be masked (docker run --security-opt systempaths=unconfined), "
                    + Self.withoutSandbox)
        case ZERROW_STAGE_EXEC.rawValue:
            self.init(
                "starting the Python interpreter", errno: failure.error,
                remedy: "it and the folders it needs must be readable by all users")
        case ZERROW_STAGE_IDENTITY.rawValue: self.init("changing the user", errno: failure.error)
        case ZERROW_STAGE_DEVICES.rawValue: self.init("making /dev and /tmp", errno: failure.error)
        default:
            self.init(
                "making the private root", errno: failure.error, remedy: "see 'zerrow doctor', \(Self.withoutSandbox)")
        }
    }
}
