import Store
import System

/// How the tables of a run get into files for others to read: workers without a user's code write them, and they get their names when
/// the workers are dead.
extension Run {
    /// A sink's worker wants its file.
    func wantsSink(_ worker: WorkerProcess, _ count: Int) {
        guard let folder = options.sinkFolder, count == 1, worker.written.sink == nil, worker.want(files: count) else {
            return misbehaved(worker, "it asked for files that it can't have")
        }
        engine.background.begin(.export, of: number) { () -> Result<PendingFile, SystemError> in
            do throws(SystemError) {
                return .success(try PendingFile(in: Folder(folder), mode: 0o644))
            } catch {
                return .failure(error)
            }
        } then: { [weak self] made in
            // It may have been killed meanwhile.
            guard let self, scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
            do {
                try worker.give(sink: try made.get())
            } catch {
                feed(.sendFailed(worker.id, reason: "a file can't be made in \(folder): \(error)"))
            }
        }
    }

    /// The file that a dead worker has written; nil for a model that is no sink.
    func sinkFile(of model: Int, _ worker: WorkerProcess) throws -> PendingFile? {
        guard plan.models[model].sink != nil else { return nil }
        guard let file = worker.written.sink else { throw EngineError.protocolBroken("it has not asked for its file") }
        return file
    }

    /// Gives a sink's file its name. The run is not over until that is done.
    func name(_ file: PendingFile, of model: Int) {
        // The run, which may be over, is here as long as its file is held.
        exports.begin(file, of: model, to: path(ofExporting: model)) { outcome in
            if let outcome { self.noteExport(of: model, outcome) }
            self.endIfOver()
        }
    }
}
