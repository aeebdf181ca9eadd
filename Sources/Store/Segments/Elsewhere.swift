import Synchronization
import System

/// What a store has done elsewhere: its calls do not wait for it.
public enum StoreChore: Sendable {
    /// Memory, or room on a disk, is freed.
    case free
    /// Memory is zeroed for a later output.
    case clean
}

/// Does a chore of a store on a thread that may wait, and then calls `then` on the store's.
public typealias StoreChores = (
    _ chore: StoreChore, _ work: @escaping @Sendable () -> Void, _ then: @escaping () -> Void
) -> Void

extension SegmentStore {
    /// Lets go of a segment that nobody needs, with its files.
    func drop(_ segment: Segment) {
        segments[segment.id] = nil
        letGo([segment.writer, segment.reader].compactMap(\.self))
    }

    /// Closes files. The memory of those that nobody else has is freed by that, which takes its time: a second for 10 GiB.
    func letGo(_ files: [DescriptorBox]) {
        if files.isEmpty { return }
        let held = PinnedFiles(files.map { (SegmentID(rawValue: 0), $0) })
        chores(
            .free,
            {
                HoldPoint.free.pass()
                held.letGo()
            }
        ) {}
    }

    /// Lets go of what is read of a table that was pinned: what nobody needs any more of it is free then.
    func endReading(_ movers: MovingTables) {
        _ = try? unpin(movers)
        let files = movers.files
        chores(.free, { files.letGo() }) {}
    }

    /// Frees the pages that no table names any more, where the lock allows it.
    ///
    /// - Parameter dead: what has just ceased to be named. Nobody can come to name it again.
    /// - Returns: the memory that it frees, in bytes, as far as can be told without asking for each page.
    /// - Throws: `system`, if it was done before this returns; a failure that comes later is made up for by the next release on the
    ///   segment, as this one is.
    @discardableResult
    func punch(_ segment: Segment, dead: RangeSet) throws(StoreError) -> Int {
        guard let (file, plan) = segment.beginPunch(dead: dead) else { return 0 }
        let outcome = PunchOutcome()
        var failure: StoreError?
        chores(
            .free,
            {
                HoldPoint.free.pass()
                outcome.note { () throws(SystemError) in try plan.punch(file.descriptor) }
            }
        ) {
            segment.endPunch(hasFailed: outcome.error != nil)
            failure = outcome.error.map { StoreError($0, segment.id, while: "giving back memory") }
        }
        if let failure { throw failure }
        return plan.punched.intersection(dead).bytes
    }

    /// Keeps a file for a later output, and has it zeroed; until then nobody gets it.
    func keep(_ file: DescriptorBox, bytes: Int, model: String) {
        guard let work = pool.add(file, bytes: bytes, model: model) else { return letGo([file]) }
        letGo(pool.takeDropped())
        chores(.clean, { work.run() }) { [weak self] in
            guard let self else { return }
            pool.finish(work)
            letGo(pool.takeDropped())
        }
    }
}

/// What came of freeing pages elsewhere.
private final class PunchOutcome: Sendable {
    private let failure = Mutex<SystemError?>(nil)

    var error: SystemError? { failure.withLock { $0 } }

    func note(_ body: () throws(SystemError) -> Void) {
        do throws(SystemError) { try body() } catch { failure.withLock { $0 = error } }
    }
}
