import Store
import System

/// How final tables leave the engine: as standard Arrow IPC streams, with the metadata as it is, then the segments' bytes.
extension Run {
    /// Begins to write a final table to `<export folder>/<model>.arrows`; the run is not over before that is done.
    ///
    /// - Returns: whether it is being written, and held as long; not for other models, when there is no export folder, or when the run
    ///   was cancelled.
    func export(_ model: Int) -> Bool {
        guard let folder = options.exportFolder, cancelCount == 0, plan.models[model].final, let table = tables[model]
        else { return false }
        let work = engine.store.beginExport(table, to: "\(folder)/\(plan.models[model].name).arrows")
        exports[model] = work
        engine.background.begin(.export, of: number) {
            work.write()
        } then: {
            // The run, which may be over, is here as long as its table is held.
            self.exported(model, work, $0)
        }
        return true
    }

    private func exported(_ model: Int, _ work: ExportWork, _ outcome: ExportWork.Outcome) {
        engine.store.finishExport(work)
        letGo(of: model)
        guard exports.removeValue(forKey: model) != nil else { return }
        switch outcome {
        case .written: observer?.note("\(name(of: model)) → \(work.path)")
        case .stopped: noteFailure(ofExporting: model, work, "the run was cancelled")
        case .failed(let reason): noteFailure(ofExporting: model, work, reason)
        }
        endIfOver()
    }

    private func noteFailure(ofExporting model: Int, _ work: ExportWork, _ reason: String) {
        failures.append(
            RunReport.Failure(
                model: name(of: model), message: "its table could not be written to \(work.path): \(reason)"))
    }

    /// Stops all exports.
    ///
    /// - Parameter waits: whether the run is over only when their disks have let them.
    func stopExports(waits: Bool) {
        for work in exports.values { work.stop() }
        guard !waits else { return }
        for (model, work) in exports {
            noteFailure(ofExporting: model, work, "the run was cancelled, and the disk does not answer")
        }
        exports = [:]
        endIfOver()
    }
}
