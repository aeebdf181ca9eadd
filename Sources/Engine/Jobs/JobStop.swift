import Glibc
import System

/// Ending a job that runs in another process.
extension JobFolder {
    /// Ends a job as Ctrl-C would, and waits until it is over.
    ///
    /// - Returns: the job as it ended.
    /// - Throws: `EngineError.options` when its process can't be seen from here.
    public func stop(_ job: Job) throws -> Job {
        if let process = try open(job) {
            do throws(SystemError) {
                try process.send(signal: SIGINT)
            } catch {
                if error.errno != ESRCH { throw error }
            }
        }
        while true {
            guard let now = self.job(job.id) else {
                throw EngineError.options("job \(job.id) is not remembered any more")
            }
            if now.status.isFinal { return now }
            usleep(20_000)
        }
    }

    /// The process of a job; nil when it has ended. A number may have come to mean another process meanwhile.
    private func open(_ job: Job) throws -> ProcessDescriptor? {
        let process: ProcessDescriptor
        do throws(SystemError) {
            process = try ProcessDescriptor(process: job.process)
        } catch {
            guard error.errno == ESRCH else { throw error }
            return try none(job)
        }
        // Asked of the number while a descriptor keeps it from meaning anybody else.
        guard ProcessTree.startTicks(of: job.process) == job.processStartTicks else { return try none(job) }
        return process
    }

    private func none(_ job: Job) throws -> ProcessDescriptor? {
        guard isAlive(job.id) else { return nil }
        throw EngineError.options(
            "job \(job.id) runs in a process that can't be seen from here, in another container: stop it there")
    }
}
