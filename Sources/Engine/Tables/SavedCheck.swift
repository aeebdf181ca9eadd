import Store
import Synchronization
import System

/// The check that a plan's saved results are whole: a disk, or anybody, may have changed them since they were written.
///
/// Threads share it: each takes the next key that nobody has looked at.
private final class SavedCheck: Sendable {
    private struct State {
        var waiting: [(key: String, id: SegmentID)]
        var whole: [String: SavedTable] = [:]
        var unfit: [String] = []
    }

    private let saved: SavedResults
    private let state: Mutex<State>

    /// - Parameter keys: each with a number that the store gave for it.
    init(_ saved: SavedResults, _ keys: [(key: String, id: SegmentID)]) {
        self.saved = saved
        state = Mutex(State(waiting: keys.reversed()))
    }

    /// Opens and reads files until none is left, at the speed of the memory or of the disk; what is no good is removed.
    func work() {
        HoldPoint.saved.pass()
        while let (key, id) = state.withLock({ $0.waiting.popLast() }) {
            switch saved.open(key) {
            case .missing: continue
            case .unfit(let what): discard(key, what)
            case .file(let file):
                do {
                    guard try file.descriptor.hasArrowChecksum(key: key) else {
                        discard(key, "\(key).arrow is not used: it is damaged, or was made for another key")
                        continue
                    }
                    let table = try SavedTable(reading: file, as: id)
                    state.withLock { $0.whole[key] = table }
                } catch {
                    // What the disk can't give back is damaged too.
                    discard(key, "\(key).arrow is not used: \(error)")
                }
            }
        }
    }

    private func discard(_ key: String, _ what: String) {
        saved.remove(key)
        state.withLock { $0.unfit.append(what) }
    }

    /// The results that are as they were written, by key.
    var whole: [String: SavedTable] { state.withLock { $0.whole } }

    /// What the user should know of the others; nil where there are none.
    var note: String? {
        let unfit = state.withLock { $0.unfit.sorted() }
        guard let first = unfit.first else { return nil }
        let others = unfit.count == 1 ? "" : " (and \(unfit.count - 1) more)"
        return "a result in \(saved.path) is made anew: \(first)\(others)"
    }
}

extension Engine {
    /// Opens the saved results that a plan may use and checks all their bytes, on threads of their own.
    ///
    /// - Parameters:
    ///   - note: is told of results that are no good.
    ///   - then: is given those that are whole, by key, on the engine's thread; at once where none can be saved.
    func openSaved(
        for plan: Plan, _ options: RunOptions, note: @escaping (String) -> Void,
        then: @escaping ([String: SavedTable]) -> Void
    ) {
        guard let saved, options.usesCache else { return then([:]) }
        let keys = Set(plan.models.compactMap(\.key)).filter { results[$0] == nil }
        if keys.isEmpty { return then([:]) }
        let check = SavedCheck(saved, keys.sorted().map { ($0, store.numberForSaved()) })
        var threadsLeft = min(keys.count, Machine.processorCount())
        for _ in 0..<threadsLeft {
            background.begin(.prepare) {
                check.work()
            } then: {
                threadsLeft -= 1
                guard threadsLeft == 0 else { return }
                check.note.map(note)
                then(check.whole)
            }
        }
    }
}
