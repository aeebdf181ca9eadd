import SIPC
import Store
import System

/// What sealed segments hold for nothing.
extension Engine {
    /// Rewrites sealed segments of which little is still needed: no page of them can be given back otherwise.
    ///
    /// - Returns: how much was copied for that, in bytes.
    func compact() throws -> UInt64 {
        var copiedBytes: UInt64 = 0
        for segment in try store.compactable() {
            let compaction = try store.compact(segment) { _, file, remap in
                let descriptor = try Descriptor(reading: file)
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
