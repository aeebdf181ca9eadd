import Glibc
import Synchronization

/// One failure that a test asks for: the nth call of its kind fails with an error number.
public struct Fault: Sendable, Hashable {
    /// Which call fails.
    public let call: SystemCall
    /// Which of the calls of that kind, counted from 1.
    public let occurrence: Int
    /// The error number it fails with.
    public let errno: Int32

    /// The given occurrence (from 1) of a call fails with an error number, and is not made.
    public init(_ call: SystemCall, occurrence: Int = 1, errno: Int32) {
        precondition(occurrence >= 1, "occurrences are counted from 1")
        self.call = call
        self.occurrence = occurrence
        self.errno = errno
    }
}

/// Makes chosen system calls of a block fail, and records which calls the block made.
///
/// A plan works on the thread that applies it, so tests that run side by side do not disturb each other. While no plan is
/// applied anywhere, a system call pays one relaxed load of a word that never changes.
public final class FaultPlan: Sendable {
    private struct State {
        var calls: [SystemCall] = []
        var counts: [SystemCall: Int] = [:]
        var fired: [Fault] = []
    }

    private static let applied = Atomic<Int>(0)
    private static let plans = Mutex<[pthread_t: FaultPlan]>([:])

    private let faults: [Fault]
    private let state = Mutex(State())

    /// A plan of failures; an empty one only records.
    public init(_ faults: [Fault] = []) { self.faults = faults }

    /// A plan with one failure.
    public convenience init(_ call: SystemCall, occurrence: Int = 1, errno: Int32) {
        self.init([Fault(call, occurrence: occurrence, errno: errno)])
    }

    /// The calls made so far, in order, those that failed on purpose included.
    public var calls: [SystemCall] { state.withLock { $0.calls } }

    /// The faults that have happened.
    public var fired: [Fault] { state.withLock { $0.fired } }

    /// Runs a block under this plan; plans don't nest.
    public func apply<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        let thread = pthread_self()
        Self.plans.withLock { plans in
            precondition(plans[thread] == nil, "a fault plan is applied on this thread already")
            plans[thread] = self
        }
        Self.applied.add(1, ordering: .relaxed)
        defer {
            Self.applied.subtract(1, ordering: .relaxed)
            _ = Self.plans.withLock { $0.removeValue(forKey: thread) }
        }
        return try body()
    }

    /// The error number that the coming call has to fail with, if any.
    static func code(for call: SystemCall) -> Int32? {
        if applied.load(ordering: .relaxed) == 0 { return nil }
        guard let plan = plans.withLock({ $0[pthread_self()] }) else { return nil }
        return plan.next(call)
    }

    private func next(_ call: SystemCall) -> Int32? {
        state.withLock { state in
            state.calls.append(call)
            let occurrence = state.counts[call, default: 0] + 1
            state.counts[call] = occurrence
            guard let fault = faults.first(where: { $0.call == call && $0.occurrence == occurrence }) else {
                return nil
            }
            state.fired.append(fault)
            return fault.errno
        }
    }
}
