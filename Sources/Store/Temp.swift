import System
extension SegmentStore {
    public struct NewTable { public let descriptor: DescriptorBox; public let references: References
        public init(descriptor: DescriptorBox, references: References) { self.descriptor = descriptor; self.references = references } }
    public func publish(by worker: WorkerID, tables: [NewTable]) throws(StoreError) -> [TableID] {
        precondition(tables.count == 1)
        return [try publish(by: worker, descriptor: tables[0].descriptor, references: tables[0].references)]
    }
}
