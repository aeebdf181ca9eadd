import SIPC
import Store
import System

/// Who holds a table: runs, and the caches. It is released when nobody does.
extension Engine {
    /// One holder more.
    func hold(_ table: TableID) { holders[table, default: 0] += 1 }

    /// One holder less; the last one's end releases the table.
    func letGo(_ table: TableID) throws {
        guard let count = holders[table] else { preconditionFailure("table \(table) is held by nobody") }
        guard count == 1 else {
            holders[table] = count - 1
            return
        }
        holders[table] = nil
        try store.release(table)
        compactedBytes += try compact()
    }

    /// Rewrites sealed segments of which little is still needed: no page of them can be given back otherwise.
    ///
    /// - Returns: how much was copied for that, in bytes.
    private func compact() throws -> UInt64 {
        var copiedBytes: UInt64 = 0
        for segment in try store.compactable() {
            let compaction = try store.compact(segment) { _, file, remap in
                let descriptor = try Descriptor(file.descriptor.bytes(0..<file.descriptor.status().bytes))
                let new = SIPC.Segment(id: remap.to.rawValue, bytes: UInt64(remap.bytes))
                let moved = descriptor.moved(remap.from.rawValue, to: new) {
                    remap.offset(of: $0.offset, length: $0.length)
                }
                guard let moved else { preconditionFailure("a published table names bytes that are not live") }
                return DescriptorBox(try FileDescriptor.sealedMemory(named: "descriptor", moved))
            }
            copiedBytes += UInt64(clamping: compaction.copiedBytes)
        }
        return copiedBytes
    }
}
