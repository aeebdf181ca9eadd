import Synchronization
import System

/// The check that a plan's saved results are whole: a disk, or anybody, may have changed them since they were written.
///
/// Threads share it: each takes the next file that nobody has looked at.
private final class SavedCheck: Sendable {
    private struct State {
        var waiting: [(key: String, file: DescriptorBox)]
        var whole: [String: DescriptorBox] = [:]
    }

    private let saved: SavedResults
    private let state: Mutex<State>

    init(_ saved: SavedResults, _ files: [(key: String, file: DescriptorBox)]) {
        self.saved = saved
        state = Mutex(State(waiting: files.reversed()))
    }

    /// Reads files until none is left, at the speed of the memory or of the disk; a damaged one is removed.
    func work() {
        HoldPoint.saved.pass()
        while let (key, file) = state.withLock({ $0.waiting.popLast() }) {
            // A file that the disk can't read is damaged too.
            if (try? file.descriptor.hasArrowChecksum()) == true {
                state.withLock { $0.whole[key] = file }
            } else {
                saved.remove(key)
            }
        }
    }

    /// The results that are as they were written, by key.
    var whole: [String: DescriptorBox] { state.withLock { $0.whole } }
}

extension Engine {
    /// Opens the saved results that a plan may use and checks all their bytes, on threads of their own.
    ///
    /// - Parameter then: called with the whole ones, by key, on the engine's thread; at once if none are saved.
    func openSaved(for plan: Plan, _ options: RunOptions, then: @escaping ([String: DescriptorBox]) -> Void) {
        guard let saved, options.usesCache else { return then([:]) }
        let keys = Set(plan.models.compactMap(\.key)).filter { results[$0] == nil }
        let files = keys.sorted().compactMap { key in saved.open(key).map { (key: key, file: $0) } }
        if files.isEmpty { return then([:]) }
        let check = SavedCheck(saved, files)
        var threadsLeft = min(files.count, Machine.processorCount())
        for _ in 0..<threadsLeft {
            background.begin(.prepare) {
                check.work()
            } then: {
                threadsLeft -= 1
                if threadsLeft == 0 { then(check.whole) }
            }
        }
    }
}
