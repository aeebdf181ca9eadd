import CLinux
import Glibc
import System

/// A file of the host that a worker may read, as it was when the run was planned.
public struct BrokeredFile: Sendable {
    /// Its real path, absolute.
    public var path: String
    /// The device it is on.
    public var device: UInt64
    /// Its number there.
    public var inode: UInt64

    /// A file.
    public init(path: String, device: UInt64, inode: UInt64) {
        self.path = path
        self.device = device
        self.inode = inode
    }
}

/// The process that opens sources for scans, which see no folder that a source is in.
///
/// It is started when the first scan needs it, and again when it has died. It ends with the thread that started it.
public final class FileBroker {
    private var process: Process?

    private struct Process {
        let pid: pid_t
        let control: MessageSocket
    }

    /// A broker that is not running yet.
    public init() {}

    /// A socket for a worker, on which it gets descriptors of these files by their numbers (`docs/protocol.md`).
    ///
    /// - Throws: `SandboxError` where no broker can be started, or `SystemError`.
    public func offer(_ files: [BrokeredFile]) throws -> DescriptorBox {
        let list = try FileDescriptor.sealedMemory(named: "files", Self.list(files))
        let (ours, theirs) = try MessageSocket.pair()
        let descriptors = [list.raw, theirs.raw]
        do {
            try started().send([1], descriptors: descriptors, wait: false)
        } catch let error as SystemError where error.errno == EPIPE || error.errno == ECONNRESET {
            stop()
            try started().send([1], descriptors: descriptors, wait: false)
        }
        return DescriptorBox(try ours.descriptor.duplicate())
    }

    private func started() throws -> MessageSocket {
        if let process { return process.control }
        let (ours, theirs) = try MessageSocket.pair()
        var pid: pid_t = -1
        let code = zerrow_file_broker_spawn(theirs.raw, &pid)
        guard code == 0 else {
            throw SandboxError(
                "starting the process that opens sources", errno: -code, remedy: NamespacePolicy.current.remedy)
        }
        process = Process(pid: pid, control: ours)
        return ours
    }

    /// The form of a list is told in `file_broker.h`.
    static func list(_ files: [BrokeredFile]) -> [UInt8] {
        var entries: [UInt8] = []
        var offsets: [UInt64] = []
        let start = UInt64(8 * (1 + files.count))
        func append(_ number: UInt64, to bytes: inout [UInt8]) {
            withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) }
        }
        for file in files {
            offsets.append(start + UInt64(entries.count))
            append(file.device, to: &entries)
            append(file.inode, to: &entries)
            entries.append(contentsOf: file.path.utf8)
            entries.append(0)
        }
        var list: [UInt8] = []
        for number in [UInt64(files.count)] + offsets { append(number, to: &list) }
        return list + (entries.isEmpty ? [0] : entries)
    }

    /// Ends it, with what it does for workers.
    public func stop() {
        guard let process else { return }
        self.process = nil
        _ = Glibc.kill(process.pid, SIGKILL)
        while waitpid(process.pid, nil, 0) < 0 && errno == EINTR {}
    }

    deinit { stop() }
}
