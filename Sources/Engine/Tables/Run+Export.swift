import SIPC
import Store
import System

/// How final tables leave the engine: as standard Arrow IPC streams, with the metadata as it is, then the segments' bytes.
extension Run {
    /// Writes a final table to `<export folder>/<model>.arrows`, a name that it gets when it is whole: what had it before stays until
    /// then, and is replaced, not written to, whatever it is. Nothing happens for other models, or when there is no export folder.
    func export(_ model: Int) {
        guard let folder = options.exportFolder, plan.models[model].final, let table = tables[model]
        else { return }
        let name = plan.models[model].name
        let path = "\(folder)/\(name).arrows"
        do {
            let loan = engine.store.view(of: table)
            let descriptor = try Descriptor(reading: loan.descriptor)
            let segments = try loan.segments.map {
                try MappedSegment(id: $0.id.rawValue, try $0.file.descriptor.duplicate())
            }
            let pending = try PendingFile(in: Folder(folder), mode: 0o644)
            try descriptor.writeStream(segments, to: pending.file.descriptor)
            try pending.file.descriptor.finishWrites()
            try pending.replace(as: "\(name).arrows")
            observer?.note("\(name) → \(path)")
        } catch {
            failures.append(
                RunReport.Failure(model: name, message: "its table could not be written to \(path): \(error)"))
        }
    }
}
