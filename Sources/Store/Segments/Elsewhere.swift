import Synchronization
import System

/// What a store has done elsewhere: its calls do not wait for it.
public enum StoreChore: Sendable {
    /// Memory, or room on a disk, is freed.
    case free
    /// Pages of a segment that stays are freed. It may begin a little later: where the rest of the segment is let go of meanwhile, as
    /// at the end of a run, the pages are kept for a later output.
    case punch
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
        guard let work = segment.beginPunch(dead: dead) else { return 0 }
        var failure: StoreError?
        chores(
            .punch,
            {
                HoldPoint.free.pass()
                work.run()
            }
        ) {
            segment.endPunch(work)
            failure = work.error.map { StoreError($0, segment.id, while: "giving back memory") }
        }
        if let failure { throw failure }
        return work.punched.intersection(dead).bytes
    }

    /// Keeps a file for a later output, and has it zeroed; until then nobody gets it.
    ///
    /// - Parameter segment: the segment that the file was, if pages of it may be about to be freed. These stay then, as far as they are
    ///   there still, and the file is zeroed when nothing works on it any more: a page that is freed later would be somebody else's.
    func keep(_ file: DescriptorBox, bytes: Int, model: String, of segment: Segment? = nil) {
        guard let work = pool.add(file, bytes: bytes, model: model) else { return letGo([file]) }
        letGo(pool.takeDropped())
        let begin = { [weak self] in
            guard let self else { return }
            chores(.clean, { work.run() }) { [weak self] in
                guard let self else { return }
                pool.finish(work)
                letGo(pool.takeDropped())
            }
        }
        if let segment { segment.stopPunching(then: begin) } else { begin() }
    }
}

/// Pages of a segment on the way to being free: what a thread of its own needs for that.
final class PunchWork: Sendable {
    private let file: DescriptorBox
    private let plan: Trim
    private let isStopped = Atomic<Bool>(false)
    private let failure = Mutex<SystemError?>(nil)

    init(_ file: DescriptorBox, _ plan: Trim) {
        self.file = file
        self.plan = plan
    }

    /// The ranges to free.
    var punched: RangeSet { plan.punched }
    /// What went wrong.
    var error: SystemError? { failure.withLock { $0 } }

    /// What isn't free yet may stay.
    func stop() { isStopped.store(true, ordering: .relaxed) }

    /// Frees the pages. On a thread that may wait; once.
    func run() {
        do throws(SystemError) {
            for range in plan.punched.ranges {
                if isStopped.load(ordering: .relaxed) { return }
                try file.descriptor.punchHole(range)
            }
        } catch {
            failure.withLock { $0 = error }
        }
    }
}
