import Scheduler
import System

/// How the resource manager gets its facts, and how its decisions are carried out.
extension Engine: ResourceUser {
    func tell(_ event: ResourceManager.Event) { resources.tell(event) }

    func handleNextEvent() -> Bool {
        if let run = runs.first(where: { $0.hasEvents }) {
            run.handleNextEvent()
            return true
        }
        return answerWaitingScan()
    }

    func perform(_ action: ResourceManager.Action) {
        switch action {
        case .grant(let number, let model, let grant):
            // The grant may have crossed the end of its run. It is returned at once.
            guard let run = run(number), !run.scheduler.isFinished, mayBegin(model, of: run) else {
                return tell(.givenBack(number, model: model))
            }
            run.feed(.granted(model: model, grant))
        case .refuse(let number, let model, let refusal):
            guard let run = run(number) else { return }
            if let key = run.sharedKey(of: model) { scans.withdraw(.init(number, model), key: key) }
            run.feed(.refused(model: model, reason: text(of: refusal)))
        case .evict(let key, let way): mover.evict(key, way)
        case .shrinkPool(let bytesMax):
            // The order was to free memory once, not to keep the pool small: the normal maximum is restored.
            store.limitPool(bytesMax: bytesMax)
            store.limitPool(bytesMax: poolBytesMax)
            resources.answerPool(store.pooledBytes)
        }
    }

    private func text(of refusal: ResourceManager.Refusal) -> String {
        let whose = refusal.whose == .run ? "the run" : "the engine"
        var text = "its inputs take \(refusal.inputBytes >> 20) MiB"
        if refusal.fixedBytes > 0 { text += " and \(refusal.fixedBytes >> 20) MiB can't be evicted" }
        return text
            + ", \(whose) may have \(refusal.limitBytes >> 20) MiB: nothing is left to run it in; raise --memory"
    }

    func run(_ number: Int) -> Run? { runs.first { $0.number == number } }

    /// Reports all tables whose facts have changed, and the size of the pool, to the resource manager.
    func tellHoldings() {
        let changed = tables.changedFacts { (try? Machine.memory())?.swapBytesFree ?? 0 }
        for (key, facts) in changed { tell(.tableHeld(key, facts)) }
        tellPool()
    }

    /// Reports how much memory is kept for later outputs, if that has changed.
    func tellPool() { resources.tellPool(store.pooledBytes) }
}
