import Glibc
import System

/// Works that wait for a thread, and the threads that do them. Of one owner only so many are done at once, and owners take turns.
final class WorkQueue: Sendable {
    /// Something to do.
    struct Item: Sendable {
        /// For whom; nil: for nobody, without a limit.
        let owner: Int?
        let run: @Sendable () -> Void
    }

    /// Starts a thread that calls `body`; false where there is none to be had.
    typealias StartThread = @Sendable (_ body: @escaping @Sendable () -> Void) -> Bool

    fileprivate struct State: Sendable {
        var waiting: [Item] = []
        /// How many works of each owner are being done.
        var running: [Int: Int] = [:]
        var threads = 0
        var idleThreads = 0
        var isStopped = false
    }

    /// What a thread finds when it looks.
    private enum Next { case item(Item), end }

    private let state = Monitor(State())
    private let threadsMax: Int
    private let ofOwnerMax: Int
    private let start: StartThread

    init(threadsMax: Int, ofOwnerMax: Int, _ start: @escaping StartThread) {
        self.threadsMax = threadsMax
        self.ofOwnerMax = ofOwnerMax
        self.start = start
    }

    /// Adds a work, and a thread where all are busy.
    ///
    /// - Returns: whether there is a thread that will do it; else somebody has to call `runNext` for it.
    @discardableResult
    func add(_ item: Item) -> Bool {
        let (needsThread, hasThread) = state.withLock { state in
            state.waiting.append(item)
            return (state.idleThreads < state.waiting.count && state.threads < threadsMax, state.threads > 0)
        }
        state.wakeOne()
        guard needsThread else { return true }
        return addThread() || hasThread
    }

    /// Adds a thread; false where there is none to be had.
    func addThread() -> Bool {
        state.withLock { $0.threads += 1 }
        if start({ [self] in work() }) { return true }
        state.withLock { $0.threads -= 1 }
        return false
    }

    /// Does the next work, if there is one that may be done now.
    func runNext() {
        guard let item = state.withLock({ $0.takeNext(ofOwnerMax) }) else { return }
        run(item)
    }

    /// Lets the threads end; what still waits is not done.
    func stop() {
        state.withLock {
            $0.isStopped = true
            $0.waiting = []
        }
        state.wake()
    }

    /// The life of a thread.
    private func work() {
        while true {
            state.withLock { $0.idleThreads += 1 }
            let next = state.wait { state -> Next? in
                if state.isStopped { return .end }
                guard let item = state.takeNext(ofOwnerMax) else { return nil }
                state.idleThreads -= 1
                return .item(item)
            }
            guard case .item(let item) = next else { return }
            run(item)
        }
    }

    private func run(_ item: Item) {
        item.run()
        guard let owner = item.owner else { return }
        let mayUnblock = state.withLock { state in
            state.running[owner]! -= 1
            if state.running[owner] == 0 { state.running[owner] = nil }
            return !state.waiting.isEmpty
        }
        // Another thread may have passed over this owner's next work.
        if mayUnblock { state.wakeOne() }
    }

    /// Starts a thread of this process. It hears no signal: those are for the engine's.
    static let startThread: StartThread = { body in
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var (all, before) = (sigset_t(), sigset_t())
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                Unmanaged<Box>.fromOpaque(raw!).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            return false
        }
        pthread_detach(thread)
        return true
    }
}

extension WorkQueue.State {
    /// Takes the work that has waited longest of the owner that has the fewest threads, if it may have one more.
    fileprivate mutating func takeNext(_ ofOwnerMax: Int) -> WorkQueue.Item? {
        func threads(_ item: WorkQueue.Item) -> Int { item.owner.flatMap { running[$0] } ?? 0 }
        guard let place = waiting.indices.min(by: { threads(waiting[$0]) < threads(waiting[$1]) }) else { return nil }
        let item = waiting[place]
        if let owner = item.owner {
            guard running[owner, default: 0] < ofOwnerMax else { return nil }
            running[owner, default: 0] += 1
        }
        waiting.remove(at: place)
        return item
    }
}
