import Glibc
import SIPC
import Store
import System

/// How final tables leave the engine: as standard Arrow IPC streams, with the metadata as it is, then the segments' bytes.
extension Run {
    /// Writes a final table to `<export folder>/<model>.arrows`, under another name until it is whole. Nothing happens for
    /// other models, or when there is no export folder.
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
            let unfinished = "\(path).\(getpid())"
            do {
                let file = try FileDescriptor.open(unfinished, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
                try descriptor.writeStream(segments, to: file)
            } catch {
                try? Files.remove(unfinished)
                throw error
            }
            try Files.rename(unfinished, path)
            observer?.note("\(name) → \(path)")
        } catch {
            failures.append(
                RunReport.Failure(model: name, message: "its table could not be written to \(path): \(error)"))
        }
    }
}
