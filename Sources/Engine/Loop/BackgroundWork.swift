import Glibc
import Synchronization
import System

/// Work that waits for the kernel or for a disk, or that computes for long, done on threads of its own: the engine's must not wait.
///
/// Each kind of work has a queue and a fixed number of threads, which are started when there is something to do and stay. Owners (runs)
/// take turns, and each has only so many threads of a kind at once: a run whose disk hangs keeps no other waiting. Nothing is ever done
/// on the engine's thread: where no thread can be made, the one that there is from the start does the work.
///
/// Used on the engine's thread alone. Only the work itself runs elsewhere, so it must use nothing that is the engine's.
final class BackgroundWork {
    /// What is done for the engine. Works of different kinds do not wait for each other.
    enum Kind: CaseIterable {
        /// Writing final tables to the folders of exports.
        case export
        /// Writing tables to the folder that they are spilled to, or pushing them out to swap.
        case spill
        /// Reading tables back, which a model waits for.
        case restore
        /// Rewriting segments of which little is needed.
        case compact
        /// Writing results to the folder of saved results.
        case save
        /// Making files for tables of the catalog, and committing these.
        case catalog
        /// Reading calls that are long: one at a time, because each takes many times its size in memory while it is read.
        case longCall
        /// Reading what a run is called with, finding out where its sources lie, and checking saved results: the run waits for it.
        case prepare
        /// Reading, checking and trimming what workers published, which the next models wait for.
        case publish
        /// Zeroing memory for later outputs.
        case clean
        /// Making folders on a disk for workers, which wait for them.
        case scratch
        /// Giving back memory, files and control groups.
        case free
        /// Putting workers into their control groups, which the workers wait for.
        case cgroup
        /// Starting zygotes. They die with the thread that started them: it is there as long as this object.
        case spawn
        /// Making environments, which the zygotes of some models wait for.
        case environment
        /// Reading and writing the history.
        case history
        /// Measuring what workers use, by /proc.
        case measure

        /// How many threads there are at most.
        var threadsMax: Int {
            switch self {
            case .export, .publish: 8
            case .prepare: 8
            case .spill, .restore, .scratch, .cgroup, .spawn, .environment, .catalog: 4
            case .free, .compact: 2
            case .save, .clean, .history, .measure, .longCall: 1
            }
        }

        /// How many of them one owner may have at once; what has no owner may have all.
        var threadsOfOwnerMax: Int {
            switch self {
            case .export: 1
            case .publish, .catalog: 2
            default: threadsMax
            }
        }
    }

    /// What the queues share with the engine; `writing` is written to by their threads, its other end read by the engine.
    private let done: DoneList
    /// Polls readable when some work is done.
    let reading: DescriptorBox
    private let queues: [Kind: WorkQueue]
    /// Does what no other thread could be made for.
    private let spare: WorkQueue
    private var lastNumber = 0
    private var continuations: [Int: (kind: Kind, then: (any Sendable) -> Void)] = [:]
    private var counts: [Kind: Int] = [:]
    /// What is begun when the engine's turn is over.
    private var late: [() -> Void] = []

    /// Nothing to do, and one thread.
    ///
    /// - Parameter startThread: how a thread is started; tests have their own.
    init(startThread: @escaping WorkQueue.StartThread = WorkQueue.startThread) throws(SystemError) {
        let (reading, writing) = try DescriptorBox.pipe()
        try reading.descriptor.setNonBlocking()
        try writing.descriptor.setNonBlocking()
        self.reading = reading
        done = DoneList(writing: writing)
        spare = WorkQueue(threadsMax: 1, ofOwnerMax: 1, startThread)
        queues = Dictionary(
            uniqueKeysWithValues: Kind.allCases.map { kind in
                (kind, WorkQueue(threadsMax: kind.threadsMax, ofOwnerMax: kind.threadsOfOwnerMax, startThread))
            })
        guard spare.addThread() else { throw SystemError("pthread_create", errno: EAGAIN, context: "the first thread") }
    }

    /// The threads end when they have done what they are at; nobody waits for them.
    deinit {
        for queue in queues.values { queue.stop() }
        spare.stop()
    }

    /// Begins some work; `then` is called with its result on the engine's thread, from `finish`.
    ///
    /// - Parameter owner: the number of the run that it is done for; nil: nobody's.
    func begin<Result: Sendable>(
        _ kind: Kind, of owner: Int? = nil, _ work: @escaping @Sendable () -> Result, then: @escaping (Result) -> Void
    ) {
        lastNumber += 1
        let number = lastNumber
        continuations[number] = (
            kind,
            { result in
                guard let result = result as? Result else { preconditionFailure("work gives what it was begun for") }
                then(result)
            }
        )
        counts[kind, default: 0] += 1
        guard let queue = queues[kind] else { preconditionFailure("every kind has a queue") }
        let item = WorkQueue.Item(owner: owner) { [done] in done.add(number, work()) }
        if !queue.add(item) { spare.add(WorkQueue.Item(owner: nil) { queue.runNext() }) }
    }

    /// Begins some work that has no result of its own; `then` is called on the engine's thread, from `finish`.
    func begin(
        _ kind: Kind, of owner: Int? = nil, _ work: @escaping @Sendable () -> Void, then: @escaping () -> Void = {}
    ) {
        begin(kind, of: owner) { () -> Bool in
            work()
            return true
        } then: { (_: Bool) in
            then()
        }
    }

    /// Begins some work at the end of the engine's turn: what happens until then may have made it needless.
    func beginLate(_ kind: Kind, _ work: @escaping @Sendable () -> Void, then: @escaping () -> Void) {
        late.append { [unowned self] in begin(kind, work, then: then) }
    }

    /// The engine's turn is over.
    func beginWhatIsLate() {
        while !late.isEmpty {
            let begun = late
            late = []
            for begin in begun { begin() }
        }
    }

    /// How many works of a kind are not finished.
    func count(of kind: Kind) -> Int { counts[kind] ?? 0 }

    /// Takes in what is done.
    func finish() {
        var bytes = [UInt8](repeating: 0, count: 256)
        bytes.withUnsafeMutableBytes { _ = read(reading.raw, $0.baseAddress, $0.count) }
        for (number, result) in done.take() {
            guard let (kind, then) = continuations.removeValue(forKey: number) else { continue }
            counts[kind, default: 0] -= 1
            then(result)
        }
    }

    /// Takes in what is done until nothing of these kinds is left, or until a moment of the monotonic clock.
    func drain(_ kinds: Set<Kind>, until deadline: UInt64) {
        beginWhatIsLate()
        while kinds.contains(where: { count(of: $0) > 0 }) {
            let now = MonotonicClock.nanoseconds()
            guard now < deadline else { return }
            let milliseconds = Int(clamping: min(deadline - now, 60_000_000_000) / 1_000_000 + 1)
            _ = try? Poll.wait([(reading.raw, .read)], timeoutMilliseconds: milliseconds)
            finish()
        }
    }
}

/// What was done and the engine has not heard of.
private final class DoneList: Sendable {
    private let list = Mutex<[(number: Int, result: any Sendable)]>([])
    private let writing: DescriptorBox

    init(writing: DescriptorBox) { self.writing = writing }

    func add(_ number: Int, _ result: any Sendable) {
        list.withLock { $0.append((number, result)) }
        // A full pipe says as much as one byte more would.
        [1].withUnsafeBytes { (byte: UnsafeRawBufferPointer) in _ = write(writing.raw, byte.baseAddress, 1) }
    }

    func take() -> [(number: Int, result: any Sendable)] {
        list.withLock { list in
            defer { list = [] }
            return list
        }
    }
}
