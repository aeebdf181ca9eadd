import CLinux
import Glibc
import System

/// Why a process could not be isolated, and what to do about it.
public struct SandboxError: Error, CustomStringConvertible {
    /// The step that failed.
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
        let stage = UInt32(bitPattern: failure.stage)
        let (step, remedy): (String, String?) =
            switch stage {
            case ZERROW_STAGE_CLONE.rawValue: ("making namespaces", NamespacePolicy.current.remedy)
            case ZERROW_STAGE_ID_MAP.rawValue: ("mapping users", NamespacePolicy.current.remedy)
            // The right to clone mounts comes with the namespaces; some machines grant these, and then nothing in them.
            case ZERROW_STAGE_ENTRY.rawValue where failure.error == EPERM:
                ("showing \(path) to the models", NamespacePolicy.current.remedy)
            case ZERROW_STAGE_ENTRY.rawValue:
                ("showing \(path) to the models", "check that it exists and that this user can read it")
            case ZERROW_STAGE_PROC.rawValue:
                (
                    "mounting /proc",
                    "inside a container, /proc must not be masked (docker run --security-opt systempaths=unconfined), "
                        + Self.withoutSandbox
                )
            case ZERROW_STAGE_EXEC.rawValue:
                (
                    "starting the Python interpreter",
                    "it must be a program for this machine, and it and the folders it needs must be readable by all users"
                )
            case ZERROW_STAGE_IDENTITY.rawValue: ("changing the user", NamespacePolicy.current.remedy)
            case ZERROW_STAGE_DEVICES.rawValue: ("making /dev and /tmp", NamespacePolicy.current.remedy)
            case ZERROW_STAGE_DESCRIPTORS.rawValue: ("passing descriptors", nil)
            case ZERROW_STAGE_CONFINE.rawValue: ("giving up its rights", NamespacePolicy.current.remedy)
            default: ("making the private root", NamespacePolicy.current.remedy)
            }
        self.init(step, errno: failure.error, remedy: remedy)
    }
}
