import ArgumentParser
import Engine
import System

/// What is left of a project's last run.
enum FailedModels {
    /// The models of the last run of a project in a folder that have no result: those that failed, were stopped, or did not begin.
    ///
    /// Throws `ValidationError` where no run is remembered, or it is not over.
    static func ofLastRun(in folder: String, _ environment: [String: String]) throws -> [String] {
        guard let path = JobFolder.path(environment) else {
            throw ValidationError("--retry-failed needs jobs to be remembered: name a folder with ZERROW_JOBS")
        }
        let real = Path.resolved(folder) ?? folder
        let jobs: [Job]
        do {
            jobs = Files.exists(path) ? try JobFolder(path, makes: false).jobs() : []
        } catch {
            throw ValidationError("the jobs in \(path) can't be read: \(error)")
        }
        // A run whose project could not be read has no models, and says nothing of them.
        guard let last = jobs.first(where: { $0.kind == .run && $0.folder == real && !$0.models.isEmpty }) else {
            throw ValidationError("no run of the project in \(real) is remembered: run it without --retry-failed")
        }
        guard last.status.isFinal else {
            throw ValidationError("the last run, job \(last.id), is not over: 'zerrow job stop \(last.id)' ends it")
        }
        let own: Set = ["python", "sql", "expectation"]
        return last.models.filter { own.contains($0.kind) && !["success", "cached", "unneeded"].contains($0.status) }
            .map(\.name)
    }
}
