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
}
