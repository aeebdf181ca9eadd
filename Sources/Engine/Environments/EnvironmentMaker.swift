import System

/// The environments that runs of this engine wait for: each is made once, in the background, whoever wants it.
///
/// Used on the engine's thread. It owns the works; a run keeps what it was given for as long as it lives.
final class EnvironmentMaker {
    private struct Job {
        let id: String
        /// Closing it stops the work; nil once it is stopped.
        var stop: DescriptorBox?
        var waiting: [(user: Int, then: (Result<EnvironmentHold, any Error>) -> Void)]
    }

    /// Seconds after which an environment that nobody uses is removed by itself.
    private static let unusedSecondsMax = 30 * 86400

    private let background: BackgroundWork
    private let tools: EnvironmentTools
    private var jobs: [Int: Job] = [:]
    private var jobCount = 0

    init(_ background: BackgroundWork, _ tools: EnvironmentTools) {
        self.background = background
        self.tools = tools
    }

    /// Gives a run the right to use an environment, which is made if it isn't there.
    ///
    /// - Parameters:
    ///   - note: is told what is made, and how long that took.
    ///   - then: is called on the engine's thread, unless the run has ended.
    func provide(
        _ environment: Plan.Environment, to user: Int, note: @escaping (String) -> Void,
        then: @escaping (Result<EnvironmentHold, any Error>) -> Void
    ) {
        if let number = jobs.first(where: { $0.value.id == environment.id && $0.value.stop != nil })?.key {
            jobs[number]!.waiting.append((user, then))
            return
        }
        do {
            let (reading, writing) = try DescriptorBox.pipe()
            jobCount += 1
            jobs[jobCount] = Job(id: environment.id, stop: writing, waiting: [(user, then)])
            begin(jobCount, environment, stop: reading, note)
        } catch {
            then(.failure(error))
        }
    }

    private func begin(_ number: Int, _ environment: Plan.Environment, stop: DescriptorBox, _ note: @escaping (String) -> Void) {
        let id = environment.id
        let title = environment.title ?? id
        // …/ID/bin/python
        let folder = Path.parent(Path.parent(Path.parent(environment.python)))
        let isThere = Files.isFolder("\(folder)/\(id)")
        if !isThere { note("making the environment of \(title)") }
        let beganAt = MonotonicClock.nanoseconds()
        background.begin(.environment) { [tools] () -> Result<EnvironmentHold, any Error> in
            Result {
                let cache = try EnvironmentCache(folder: folder)
                return try EnvironmentMaking(cache: cache, tools: tools, id: id, stop: stop).run()
            }
        } then: { [weak self] result in
            if !isThere, case .success = result {
                self?.tidyUp(folder)
                let seconds = Double(MonotonicClock.nanoseconds() - beganAt) / 1e9
                note("made the environment of \(title) in \(Self.text(seconds)) s")
            }
            guard let job = self?.jobs.removeValue(forKey: number) else { return }
            for (_, then) in job.waiting { then(result) }
        }
    }

    /// Removes what nobody has used for a long time: what is new needs room, too.
    private func tidyUp(_ folder: String) {
        background.begin(.environment) {
            _ = try? EnvironmentCache(folder: folder).prune(unusedForSeconds: Self.unusedSecondsMax)
        }
    }

    /// A run is over: it is told of nothing any more, and what nobody else waits for is not made.
    func end(_ user: Int) {
        for number in jobs.keys {
            jobs[number]?.waiting.removeAll { $0.user == user }
            if jobs[number]?.waiting.isEmpty == true { jobs[number]?.stop = nil }
        }
    }

    /// Stops all works, and waits until they have, for a little while.
    func shutDown() {
        for number in jobs.keys {
            jobs[number]?.waiting = []
            jobs[number]?.stop = nil
        }
        background.drain([.environment], until: Deadline.after(seconds: 5))
    }

    private static func text(_ seconds: Double) -> String {
        let tenths = Int((seconds * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
