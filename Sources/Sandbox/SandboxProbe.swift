import CLinux
import Glibc
import System

/// Tries whether this machine lets us make a sandbox.
public enum SandboxProbe {
    /// Starts the smallest zygote there is (`/bin/true`) and waits for its end. Throws `SandboxError` if the machine forbids it.
    public static func run() throws {
        let (control, _) = try MessageSocket.pair()
        let null = try FileDescriptor.open("/dev/null", O_WRONLY)
        let zygote = try Zygote.spawn(
            ZygoteSpec(
                arguments: ["/bin/true"], environment: [:], readPaths: [], hasNetwork: false, isSandboxed: true,
                tmpBytesMax: 1 << 20),
            control: control.descriptor, output: null)
        zygote.wait()
    }

    /// Whether a project can be shown through a file system of a worker's own.
    public static var canOverlay: Bool { zerrow_overlay_is_possible() != 0 }

    /// The version of Landlock's interface; 0 where there is none.
    public static var landlockVersion: Int { Int(zerrow_landlock_version()) }
}
