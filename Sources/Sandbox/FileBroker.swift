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

/// The process that opens sources for scans, which see no folder that a source is in, and that mounts folders for workers that write.
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
        try ask(ZERROW_BROKER_FILES, list, theirs)
        return DescriptorBox(try ours.descriptor.duplicate())
    }

    /// A mount of one folder that is nowhere yet: no name leads out of it. The answer is to be waited for on another thread, since
    /// the folder's disk may not answer.
    ///
    /// - Parameter path: its absolute path, without links.
    /// - Throws: `SandboxError` where no broker can be started, or `SystemError`; so does the answer.
    public func mount(folder path: String) throws -> @Sendable () throws -> DescriptorBox {
        let file = try FileDescriptor.sealedMemory(named: "folder", [UInt8](path.utf8) + [0])
        let (ours, theirs) = try MessageSocket.pair()
        try ask(ZERROW_BROKER_FOLDER, file, theirs)
        return {
            guard case .message(let answer) = try ours.receive(bytesMax: 4, descriptorsMax: 1),
                answer.bytes.count == 4
            else { throw SystemError("open_tree", errno: EPIPE, context: "\(path): the file broker has died") }
            let error = answer.bytes.withUnsafeBytes { $0.loadUnaligned(as: Int32.self) }
            guard error == 0, let mount = answer.descriptors.first else {
                throw SystemError("open_tree", errno: error, context: path)
            }
            return mount
        }
    }

    private func ask(
        _ what: some BinaryInteger, _ file: borrowing FileDescriptor, _ socket: MessageSocket
    ) throws {
        let descriptors = [file.raw, socket.raw]
        do {
            try started().send([UInt8(what)], descriptors: descriptors, wait: false)
        } catch let error as SystemError where error.errno == EPIPE || error.errno == ECONNRESET {
            stop()
            try started().send([UInt8(what)], descriptors: descriptors, wait: false)
        }
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
