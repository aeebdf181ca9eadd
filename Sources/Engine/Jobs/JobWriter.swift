import Glibc
import System

/// Writes the files of one job, in order, on a thread of its own. What waits for the disk is bounded by what is kept of a job.
final class JobWriter: Sendable {
    private struct State: Sendable {
        var lines: [UInt8] = []
        /// The newest state that is not written.
        var job: Job?
        var isBegun = false
        var isWriting = false
        var isLast = false
        var isDone = false
        var failure: String?
    }

    private let state = Monitor(State())
    private let path: String
    private let queue: WorkQueue

    /// Begins with the job's first state.
    init(_ path: String, _ job: Job) {
        self.path = path
        queue = WorkQueue(threadsMax: 1, ofOwnerMax: 1, WorkQueue.startThread)
        state.withLock { $0.job = job }
        let id = job.id
        let hasThread = queue.add(WorkQueue.Item(owner: nil) { [self] in work(id) })
        if !hasThread {
            state.withLock { state in
                state.failure = "there is no thread to write it with"
                state.isDone = true
            }
        }
    }

    /// Whether no state of the job waits to be written.
    var isIdle: Bool { state.withLock { $0.job == nil && !$0.isWriting } }

    /// Adds lines to the log, and a newer state of the job.
    func add(lines: [UInt8], _ job: Job? = nil, isLast: Bool = false) {
        state.withLock { state in
            if state.isDone { return }
            state.lines += lines
            if let job { state.job = job }
            state.isLast = state.isLast || isLast
        }
        state.wake()
    }

    /// Waits until the job is in its folder.
    ///
    /// - Returns: why it is not; nil when it is.
    func firstFailure(milliseconds: Int) -> String? {
        wait(milliseconds) { $0.isBegun || $0.isDone } ? state.withLock { $0.failure } : "its folder does not answer"
    }

    /// Waits until all is written.
    ///
    /// - Returns: why it is not; nil when it is.
    func end(milliseconds: Int) -> String? {
        wait(milliseconds) { $0.isDone } ? state.withLock { $0.failure } : "its folder does not answer"
    }

    private func wait(_ milliseconds: Int, until isReached: (State) -> Bool) -> Bool {
        state.wait(milliseconds: milliseconds) { isReached($0) ? true : nil } ?? false
    }

    /// The life of the thread.
    private func work(_ id: String) {
        do {
            HoldPoint.job.pass()
            let folder = try JobFolder(path, makes: true)
            let log = try folder.makeLog(id)
            // The lock goes with the process: a job whose files have all been written still runs.
            _ = Unmanaged.passRetained(log)
            var failure: (any Error)?
            var isLast = false
            while !isLast {
                (isLast, failure) = writeNext(to: folder, log)
                let isFirst = state.withLock { !$0.isBegun }
                if let failure, isFirst { throw failure }
                state.withLock { state in
                    state.isWriting = false
                    state.isBegun = true
                }
                state.wake()
                // At the beginning, when nobody waits for it. Of what can't be pruned there is no more harm than a file too many.
                if isFirst { _ = try? folder.prune() }
            }
            finish(failure.map(Self.reason))
        } catch {
            finish(Self.reason(error))
        }
    }

    private static func reason(_ error: any Error) -> String {
        (error as? SystemError).map { SystemError.reason($0.errno) } ?? "\(error)"
    }

    /// Writes what waits. What can't be written is left out: what comes later may fit again, and how it ended is what matters most.
    private func writeNext(to folder: JobFolder, _ log: DescriptorBox) -> (isLast: Bool, failure: (any Error)?) {
        let (lines, job, isLast) = state.wait { state -> ([UInt8], Job?, Bool)? in
            guard state.job != nil || !state.lines.isEmpty || state.isLast else { return nil }
            defer { (state.lines, state.job, state.isWriting) = ([], nil, true) }
            return (state.lines, state.job, state.isLast)
        }
        var failure: (any Error)?
        do {
            if let job { try folder.write(job) }
        } catch {
            failure = error
        }
        do throws(SystemError) {
            try lines.withUnsafeBufferPointer { (bytes) throws(SystemError) in
                try log.descriptor.writeAll(UnsafeRawBufferPointer(bytes))
            }
        } catch {
            failure = failure ?? error
        }
        return (isLast, failure)
    }

    private func finish(_ failure: String?) {
        state.withLock { state in
            state.failure = failure
            state.isDone = true
            (state.lines, state.job) = ([], nil)
        }
        state.wake()
    }
}
