/// Slots that are lent to runs that have none, while the models of other runs keep theirs without getting on.
extension ResourceManager {
    /// Whether fewer models are granted than there are slots.
    var hasFreeSlot: Bool { grants.count < limits.slots }

    /// Whether a granted model gets on, so that something will happen by itself.
    var isAnyActive: Bool { grants.values.contains { !$0.isStalled } }

    /// Whether a run may start a model though no slot is free.
    func mayBorrow(_ run: RunID) -> Bool {
        runs[run]!.used == 0 && runs[run]!.slots > 0 && grants.values.count { !$0.isStalled } < limits.slots
    }

    /// The runs that ask and have no slot, in their order, when none is free, or when one model has all memory.
    public var runsWithoutSlot: [RunID] {
        guard !hasFreeSlot || grants.values.contains(where: { $0.hasAll && !$0.isStalled }) else { return [] }
        return runs.keys.filter { runs[$0]!.used == 0 && runs[$0]!.slots > 0 && !runs[$0]!.asks.isEmpty }.sorted()
    }

    /// A model doesn't get on. One that was granted all memory there was keeps what it uses, and as much again: others get the rest.
    mutating func stalled(_ key: ModelKey) {
        guard var grant = grants[key] else { return }
        let before = grant.bytes
        grant.isStalled = true
        if grant.hasAll {
            let (twice, overflows) = grant.used.multipliedReportingOverflow(by: 2)
            grant.reserved = min(grant.reserved, max(overflows ? .max : twice, limits.workerBytesMin))
        }
        grants[key] = grant
        charge(grant.bytes - before, run: key.run)
    }

    /// The models that are granted, in order.
    public var grantedModels: [ModelKey] { grants.keys.sorted() }

    /// Whether a granted model is taken to be stalled.
    public func isStalled(_ key: ModelKey) -> Bool { grants[key]?.isStalled ?? false }
}
