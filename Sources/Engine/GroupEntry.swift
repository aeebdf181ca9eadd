import Glibc
import Sandbox
import Synchronization
import System

/// Puts workers into their control groups on threads of its own: the kernel waits there for all processors, for 10 ms and
/// more, which the engine must not.
///
/// Used on the engine's thread alone.
final class GroupEntry {
    /// What the threads share; `descriptor` is written to by them, and read by the engine.
    private final class Shared: Sendable {
        let done = Mutex<[(name: String, error: SystemError?)]>([])
        let writing: DescriptorBox

        init(writing: DescriptorBox) { self.writing = writing }

        func finish(_ name: String, _ error: SystemError?) {
            done.withLock { $0.append((name, error)) }
            // A full pipe says as much as one byte more would.
            [1].withUnsafeBytes { (byte: UnsafeRawBufferPointer) in _ = write(writing.raw, byte.baseAddress, 1) }
        }
    }

    /// What one thread does.
    private struct Job: Sendable {
        let name: String
        let pid: pid_t
        let enter: @Sendable (pid_t) throws(SystemError) -> Void
        let shared: Shared
    }

    /// Polls readable when a worker has been put into its group.
    let reading: DescriptorBox
    private let shared: Shared

    init() throws(SystemError) {
        let (reading, writing) = try DescriptorBox.pipe()
        try reading.descriptor.setNonBlocking()
        try writing.descriptor.setNonBlocking()
        self.reading = reading
        shared = Shared(writing: writing)
    }

    /// Begins to put a worker into its group.
    func begin(_ name: String, _ pid: pid_t, _ group: WorkerCgroup) {
        let job = Unmanaged.passRetained(Box(Job(name: name, pid: pid, enter: group.entry, shared: shared)))
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { GroupEntry.run($0) }, job.toOpaque())
        guard code == 0 else {
            // No thread to be had: it takes the engine's time.
            _ = Self.run(job.toOpaque())
            return
        }
        pthread_detach(thread)
    }

    /// The workers that are in their groups now, or could not be put there.
    func finished() -> [(name: String, error: SystemError?)] {
        var bytes = [UInt8](repeating: 0, count: 256)
        bytes.withUnsafeMutableBytes { _ = read(reading.raw, $0.baseAddress, $0.count) }
        return shared.done.withLock { done in
            defer { done = [] }
            return done
        }
    }

    private static func run(_ raw: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        let job = Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().job
        do throws(SystemError) {
            try job.enter(job.pid)
            job.shared.finish(job.name, nil)
        } catch {
            job.shared.finish(job.name, error)
        }
        return nil
    }

    private final class Box: Sendable {
        let job: Job

        init(_ job: Job) { self.job = job }
    }
}
