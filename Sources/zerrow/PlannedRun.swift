import Engine
import System

/// A plan that is about to be run, with its options, its engine, its observer and its signals.
struct PlannedRun {
    let plan: Plan
    let options: RunOptions
    let group: EngineOptionGroup
    let installation: Installation
    let environment: [String: String]
    let observer: any RunObserver
    let signals: SignalDescriptor
    /// The engine that got ready while the plan was made; nil where none did.
    var early: Engine?

    /// Starts an engine that gets ready for the run of a project while that is planned; nil where one serves, or where little may be left to run.
    ///
    /// What is wrong with its options is told when it is needed.
    static func earlyEngine(_ call: RunCall, _ installation: Installation, _ environment: [String: String]) -> Engine? {
        guard !call.isDetached, !call.againOnLine, call.engine.cacheFolder == nil else { return nil }
        if !call.run.noServe, let address = try? ServeAddress(nil, environment: environment),
            RemoteEngine.isThere(at: address)
        {
            return nil
        }
        let engine = try? Engine(
            installation: installation, options: call.engine.engineOptions, environment: environment)
        engine?.expectRun(of: call.project.project)
        return engine
    }

    /// Has the engine that serves run it; nil when none does, or it refuses.
    func runRemotely() throws -> RunReport? {
        guard let remote = RemoteEngine(at: try ServeAddress(nil, environment: environment)) else { return nil }
        if let option = group.ownEngineOption {
            observer.note("the engine that serves is not used: \(option) is for an engine of one's own")
            return nil
        }
        let answer = try remote.run(
            plan, options, engine: group.engineOptions, installation: installation, observer: observer,
            signals: signals)
        switch answer {
        case .report(let report): return report
        case .refused(let reason):
            observer.note("the engine that serves is not used: \(reason)")
            return nil
        }
    }

    /// Runs it in an engine of its own.
    func runHere() throws -> RunReport {
        let engine = try early ?? makeEngine()
        if let problem = engine.kernelZeroProblem { observer.note("warning: KernelZero is not used: \(problem)") }
        defer { engine.shutDown() }
        let report = try engine.run(plan, options, observer: observer, signals: signals)
        engine.finishBackgroundWrites(unless: signals, note: observer.note)
        return report
    }

    /// Runs it once for each line of standard input, in the engine that serves or else in one of its own, and prints one report
    /// each.
    func runOnEachLine(isServed: Bool) throws -> Never {
        var own: Engine?
        while Output.hasResult, readLine() != nil {
            if isServed, own == nil, let served = try runRemotely() {
                Output.result(served.json)
                continue
            }
            let engine = try own ?? makeEngine()
            own = engine
            Output.result(try engine.run(plan, options, signals: signals).json)
        }
        own?.finishBackgroundWrites(unless: signals, note: Output.note)
        own?.shutDown()
        Output.leave(0)
    }

    private func makeEngine() throws -> Engine {
        try Engine(installation: installation, options: group.engineOptions, environment: environment)
    }
}
