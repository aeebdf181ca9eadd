/// Divides the engine's slots among its runs: interactive runs before batch ones, and none of them for ever waiting.
///
/// Pure, as the scheduler is: the engine tells it what each run uses and wants, and gets how many slots each may use. It
/// takes no slot away from a model that runs; a run above its share gets no further one until it is below.
///
/// - Interactive runs come first. But when `streakMax` slots in a row went to them while a batch run was waiting, the next one goes to
///   a batch run.
/// - Runs of one class share evenly. Of what can't be shared evenly, who was served longest ago gets more.
/// - A slot is idle only if no run wants it.
public struct FairShare: Sendable {
    /// Names a run as long as the engine has it; the caller chooses it.
    public typealias RunID = Int

    /// What a run uses and would like to use.
    public struct Claim: Equatable, Sendable {
        /// The run.
        public var run: RunID
        /// Whether it gives way to interactive runs.
        public var isBatch: Bool
        /// Slots that its models hold.
        public var used: Int
        /// Slots it would use if it had them, those that it uses included; never more than it may have by its own limit.
        public var wanted: Int
        /// How often it was given a slot since it began.
        public var assignedCount: Int

        /// A claim.
        public init(run: RunID, isBatch: Bool, used: Int, wanted: Int, assignedCount: Int) {
            self.run = run
            self.isBatch = isBatch
            self.used = used
            self.wanted = wanted
            self.assignedCount = assignedCount
        }
    }

    /// How many slots in a row go to interactive runs while a batch run waits.
    public static let streakMax = 4

    /// How many slots there are.
    public let slots: Int
    /// When each run was last given a slot, by a clock that counts slots given.
    private var servedAt: [RunID: Int] = [:]
    private var assignedCount: [RunID: Int] = [:]
    private var clock = 0
    /// Slots that went to interactive runs since a batch run had one, or since none was waiting.
    private var streak = 0

    /// A division of at least one slot.
    public init(slots: Int) {
        precondition(slots >= 1, "an engine needs a slot")
        self.slots = slots
    }

    /// How many slots each run may use now, in the order of the claims, which are those of all runs.
    ///
    /// The sum of what each may use, or uses already if that is more, is at most the number of slots, provided that runs kept to
    /// what they were told before.
    public mutating func divide(_ claims: [Claim]) -> [Int] {
        note(claims)
        let shares = shares(claims)
        var free = slots - claims.reduce(0) { $0 + $1.used }
        return claims.indices.map { index in
            let claim = claims[index]
            guard shares[index] > claim.used else { return shares[index] }
            let given = max(0, min(shares[index] - claim.used, free))
            free -= given
            return claim.used + given
        }
    }

    /// Takes in who was served since the last time.
    private mutating func note(_ claims: [Claim]) {
        let isBatchWaiting = claims.contains { $0.isBatch && $0.wanted > $0.used }
        for claim in claims {
            let count = claim.assignedCount - (assignedCount[claim.run] ?? 0)
            guard count > 0 else { continue }
            clock += 1
            servedAt[claim.run] = clock
            streak = claim.isBatch ? 0 : streak + count
        }
        if !isBatchWaiting { streak = 0 }
        assignedCount = Dictionary(claims.map { ($0.run, $0.assignedCount) }, uniquingKeysWith: { $1 })
        servedAt = servedAt.filter { assignedCount[$0.key] != nil }
    }

    /// What each should have: the slots are handed out one by one.
    private func shares(_ claims: [Claim]) -> [Int] {
        var shares = claims.map { _ in 0 }
        for slot in 0..<slots {
            let prefersBatch = slot == 0 && streak >= Self.streakMax
            let next = claims.indices.filter { shares[$0] < claims[$0].wanted }.min {
                order($0, claims, shares, prefersBatch) < order($1, claims, shares, prefersBatch)
            }
            guard let next else { break }
            shares[next] += 1
        }
        return shares
    }

    private func order(
        _ index: Int, _ claims: [Claim], _ shares: [Int], _ prefersBatch: Bool
    ) -> (Int, Int, Int, Int) {
        let claim = claims[index]
        return (claim.isBatch == prefersBatch ? 0 : 1, shares[index], servedAt[claim.run] ?? 0, claim.run)
    }
}
