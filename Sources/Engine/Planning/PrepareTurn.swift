import System

/// The right to make a project's missing sources: one run at a time has it, and others of the project wait for it.
///
/// It is a lock on the project's folder, of all processes that hold its descriptor. The kernel takes it back when the last of them is dead.
struct PrepareTurn {
    /// How long a run waits before it asks again, in milliseconds: the end of a lock is no event.
    private static let periodMilliseconds = 100

    /// The project's folder; whoever holds its descriptor has the turn.
    let folder: Folder

    /// Waits for the turn. Where a file system has no locks on folders, everybody has it.
    ///
    /// - Throws: `EngineError.interrupted` when a signal arrives first.
    init(_ path: String, signals: SignalDescriptor?, note: (String) -> Void) throws {
        folder = try Folder(path)
        var isNoted = false
        while (try? folder.lockIfFree()) == false {
            if !isNoted { note("waiting for another run, which makes the project's sources") }
            isNoted = true
            let entries = signals.map { [(raw: $0.raw, events: Poll.Events.read)] } ?? []
            _ = try Poll.wait(entries, timeoutMilliseconds: Self.periodMilliseconds)
            if try signals?.next() != nil { throw EngineError.interrupted }
        }
    }
}
