import Sandbox
import System

/// A planner at work, whoever has started it.
protocol PlanningProcess: AnyObject {
    /// Polls readable once it has ended.
    var raw: Int32 { get }
    /// Kills it and all that it started; nothing happens when it has ended.
    func kill()
    /// Waits until it has ended. nil where nobody can tell how.
    func end() -> ChildProcess.Ending?
    /// Kills it without waiting for its end.
    ///
    /// - Returns: what waits for its end where nobody else does, when nobody holds it any more.
    func leave() -> (any Sendable)?
}

extension Reader: PlanningProcess {
    func end() -> ChildProcess.Ending? { wait() }
    func leave() -> (any Sendable)? { killed() }
}
