import SIPC
import Store
import System

/// How a run gives memory back.
extension Run {
    /// Nobody will read the table any more.
    func release(_ model: Int) {
        export(model)
        guard let table = tables.removeValue(forKey: model) else { preconditionFailure("a table is released twice") }
        do {
            try engine.store.release(table)
            try compact()
        } catch {
            // The table is gone for its readers all the same; its memory goes with the engine at the latest.
            observer?.note("memory of '\(name(of: model))' was not given back: \(error)")
        }
    }

    /// Rewrites sealed segments of which little is still needed: no page of them can be given back otherwise.
    func compact() throws {
        for segment in try engine.store.compactable() {
            let compaction = try engine.store.compact(segment) { _, file, remap in
                let descriptor = try Descriptor(file.descriptor.bytes(0..<file.descriptor.status().bytes))
                let new = SIPC.Segment(id: remap.to.rawValue, bytes: UInt64(remap.bytes))
                let moved = descriptor.moved(remap.from.rawValue, to: new) {
                    remap.offset(of: $0.offset, length: $0.length)
                }
                guard let moved else { preconditionFailure("a published table names bytes that are not live") }
                return DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", moved))
            }
            memory.compactedBytes += UInt64(clamping: compaction.copiedBytes)
        }
    }

    /// Gives back what the engine holds for a worker, but for a segment, which `seal` and `discard` see to.
    func free(_ worker: Worker) {
        worker.deadline = nil
        if let identity = worker.identity { engine.identities?.give(back: identity) }
        worker.cgroup?.remove()
        do {
            try engine.store.end(worker.storeID)
        } catch {
            observer?.note("memory of worker \(worker.name) was not given back: \(error)")
        }
    }
}
