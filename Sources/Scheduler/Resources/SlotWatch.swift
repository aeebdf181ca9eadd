/// Finds out which models keep their slots without getting on, and who is to be told of it.
///
/// Pure, as the resource manager is: it is told the time. Nothing is looked at unless a run waits for a slot, or a model is taken to be stalled.
///
/// A model doesn't get on if it used less than a twentieth of a processor for two seconds: it is stopped, sleeps, or waits for somebody. It gets on
/// again when it uses more. One that computes all the time may be about to end, so it is given half a minute; when it has had its slot for so
/// long, and a run has waited for so long, it is taken to be stalled until it ends.
public struct SlotWatch: Sendable {
    /// A granted model, as it is now.
    public struct Sample: Equatable, Sendable {
        /// The model.
        public var key: ResourceManager.ModelKey
        /// Since when it has its slot, in nanoseconds.
        public var heldSince: UInt64
        /// The processor time that it and all it started have used, in nanoseconds; nil where that isn't known.
        public var processorNanoseconds: UInt64?

        /// A sample.
        public init(key: ResourceManager.ModelKey, heldSince: UInt64, processorNanoseconds: UInt64?) {
            self.key = key
            self.heldSince = heldSince
            self.processorNanoseconds = processorNanoseconds
        }
    }

    /// Who has a slot that somebody waits for.
    public struct Holder: Equatable, Sendable {
        /// The model.
        public let key: ResourceManager.ModelKey
        /// How long it has had its slot, in nanoseconds.
        public let heldNanoseconds: UInt64
        /// Whether it uses the processor, as far as that is known.
        public let usesProcessor: Bool
    }

    /// What was found.
    public enum Finding: Equatable, Sendable {
        /// A model doesn't get on.
        case stalled(ResourceManager.ModelKey)
        /// It gets on again.
        case progressing(ResourceManager.ModelKey)
        /// A run waits for a slot: it, and those who have them, are to be told. How long it has waited, in nanoseconds.
        case waits(ResourceManager.RunID, nanoseconds: UInt64, [Holder])
    }

    private struct Window: Sendable {
        let heldSince: UInt64
        var beganAt: UInt64
        var processorNanoseconds: UInt64
        var usesProcessor = true
    }

    private enum Reason: Sendable { case idle, long }

    private static let second: UInt64 = 1_000_000_000
    /// How often it looks.
    static let period = second
    /// How long a model is watched before it is taken to be idle.
    static let window = 2 * second
    /// A model that used less than one part in so many of a processor is idle.
    static let idleParts: UInt64 = 20
    /// How long others may compute while a run waits.
    static let patience = 30 * second
    /// How long a run has waited when it is told why, if nothing else is found before.
    static let silence = 5 * second

    private var lookedAt: UInt64 = 0
    private var waitingSince: [ResourceManager.RunID: UInt64] = [:]
    private var toldAt: [ResourceManager.RunID: UInt64] = [:]
    private var windows: [ResourceManager.ModelKey: Window] = [:]
    private var stalled: [ResourceManager.ModelKey: Reason] = [:]

    /// A watch that has seen nothing.
    public init() {}

    /// Whether it is time to look, given the runs that wait for a slot.
    public mutating func isDue(waiting: [ResourceManager.RunID], at now: UInt64) -> Bool {
        note(waiting, now)
        guard !waiting.isEmpty || !stalled.isEmpty else {
            windows = [:]
            return false
        }
        return now >= lookedAt + Self.period
    }

    /// Looks at all models that are granted.
    public mutating func look(
        at samples: [Sample], waiting: [ResourceManager.RunID], at now: UInt64
    ) -> [Finding] {
        lookedAt = now
        note(waiting, now)
        let keys = Set(samples.map(\.key))
        windows = windows.filter { keys.contains($0.key) }
        stalled = stalled.filter { keys.contains($0.key) }
        let longest = waiting.compactMap { waitingSince[$0] }.map { now - min(now, $0) }.max() ?? 0
        var findings: [Finding] = []
        for sample in samples {
            findings += judge(sample, now)
            let isLong = longest >= Self.patience && now >= Self.later(sample.heldSince, Self.patience)
            guard isLong, stalled[sample.key] == nil else { continue }
            stalled[sample.key] = .long
            findings.append(.stalled(sample.key))
        }
        return findings + waits(samples, waiting, now)
    }

    /// A moment so much later; the end of time for one beyond it.
    private static func later(_ moment: UInt64, _ nanoseconds: UInt64) -> UInt64 {
        moment > .max - nanoseconds ? .max : moment + nanoseconds
    }

    private mutating func note(_ waiting: [ResourceManager.RunID], _ now: UInt64) {
        let runs = Set(waiting)
        waitingSince = waitingSince.filter { runs.contains($0.key) }
        for run in waiting where waitingSince[run] == nil { waitingSince[run] = now }
        toldAt = toldAt.filter { runs.contains($0.key) || now < $0.value + Self.patience }
    }

    /// Whether a model has begun or ceased to get on.
    private mutating func judge(_ sample: Sample, _ now: UInt64) -> [Finding] {
        guard let used = sample.processorNanoseconds else { return [] }
        guard var window = windows[sample.key], window.heldSince == sample.heldSince else {
            stalled[sample.key] = nil
            windows[sample.key] = Window(heldSince: sample.heldSince, beganAt: now, processorNanoseconds: used)
            return []
        }
        let nanoseconds = now - min(now, window.beganAt)
        // What a process has used can seem to shrink, when children of it are gone that nobody waited for.
        let isIdle = used - min(used, window.processorNanoseconds) < nanoseconds / Self.idleParts
        defer { windows[sample.key] = window }
        if isIdle, nanoseconds < Self.window { return [] }
        window.beganAt = now
        window.processorNanoseconds = used
        window.usesProcessor = !isIdle
        switch (isIdle, stalled[sample.key]) {
        case (true, nil):
            stalled[sample.key] = .idle
            return [.stalled(sample.key)]
        case (false, .idle):
            stalled[sample.key] = nil
            return [.progressing(sample.key)]
        default: return []
        }
    }

    /// Who is to be told, once in a while.
    private mutating func waits(_ samples: [Sample], _ waiting: [ResourceManager.RunID], _ now: UInt64) -> [Finding] {
        let holders = samples.map { sample in
            Holder(
                key: sample.key, heldNanoseconds: now - min(now, sample.heldSince),
                usesProcessor: windows[sample.key]?.usesProcessor ?? true)
        }
        return waiting.compactMap { run in
            guard let since = waitingSince[run], toldAt[run] == nil else { return nil }
            guard !stalled.isEmpty || now >= since + Self.silence else { return nil }
            toldAt[run] = now
            return .waits(run, nanoseconds: now - since, holders)
        }
    }
}
