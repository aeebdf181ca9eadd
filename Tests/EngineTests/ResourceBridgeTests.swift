import Scheduler
import Testing

@testable import Engine

@Suite struct ResourceBridgeTests {
    /// Writes down what is asked of it, and may tell more meanwhile.
    private final class User: ResourceUser {
        /// How many models wait for a scan of another run.
        var waiting = 0
        var log: [String] = []
        var onTell: () -> Void = {}
        var onPerform: (ResourceManager.Action) -> Void = { _ in }

        func answerWaitingScan() -> Bool {
            guard waiting > 0 else { return false }
            waiting -= 1
            log.append("answer")
            return true
        }

        func tellHoldings() { onTell() }

        func perform(_ action: ResourceManager.Action) {
            switch action {
            case .grant(let run, let model, _): log.append("grant \(run).\(model)")
            case .evict: log.append("evict")
            case .shrinkPool: log.append("shrink")
            case .refuse: log.append("refuse")
            }
            onPerform(action)
        }
    }

    private func ask(_ model: Int, bytes: Int = 1 << 20) -> ResourceManager.Event {
        .asked(
            .init(
                run: 1, model: model, rank: model, expectedBytes: bytes, memoryBytesMax: nil, inputs: [],
                isRetry: false))
    }

    private func bridge(_ user: User, slots: Int = 2) -> ResourceBridge {
        let bridge = ResourceBridge(
            .init(memoryBytesMax: 1 << 30, slots: slots, workerBytesMin: 16 << 20, spilledComesBack: true))
        bridge.user = user
        return bridge
    }

    @Test func factsAreDecidedOnTogether() {
        let user = User()
        let bridge = bridge(user, slots: 1)
        bridge.tell(.runBegan(1, priority: 5, slots: 2, memoryBytesMax: nil))
        bridge.tell(ask(1))
        bridge.tell(ask(0))
        #expect(user.log.isEmpty)
        bridge.decide()
        // The one slot is not given before it is known who wants it most.
        #expect(user.log == ["grant 1.0"])
        bridge.decide()
        #expect(user.log.count == 1)
    }

    @Test func anAskMayNameATableThatIsToldOfWithIt() {
        let user = User()
        let bridge = bridge(user, slots: 1)
        let key = ResourceManager.TableKey.table(run: 1, model: 0)
        let table = ResourceManager.TableFacts(
            bytes: 900 << 20, residentBytes: 900 << 20, recomputeSeconds: 1, ways: [.drop], nextUse: nil, owner: 1,
            maker: .init(1, 0))
        bridge.tell(.runBegan(1, priority: 5, slots: 1, memoryBytesMax: nil))
        bridge.tell(ask(0, bytes: 900 << 20))
        bridge.decide()
        user.onTell = { [weak bridge] in
            bridge?.tell(.tableHeld(key, table))
            user.onTell = {}
        }
        // The one that made it counts no more, its table does, and is pinned by the model that reads it: both find room, nothing is evicted.
        bridge.tell(.givenBack(1, model: 0))
        bridge.tell(
            .asked(
                .init(
                    run: 1, model: 1, rank: 1, expectedBytes: 64 << 20, memoryBytesMax: nil, inputs: [key],
                    isRetry: false)))
        bridge.tell(.used(1, model: 0, bytes: 900 << 20))
        bridge.decide()
        #expect(user.log == ["grant 1.0", "grant 1.1"])
    }

    @Test func modelsThatWaitForScansAreAnsweredBeforeEachStep() {
        let user = User()
        let bridge = bridge(user)
        bridge.tell(.runBegan(1, priority: 5, slots: 2, memoryBytesMax: nil))
        for model in 0..<2 { bridge.tell(ask(model)) }
        user.waiting = 2
        user.onPerform = { _ in user.waiting = 1 }
        bridge.decide()
        #expect(user.log == ["answer", "answer", "grant 1.0", "answer", "grant 1.1", "answer"])
    }

    @Test func whatComesUpMeanwhileWaitsForTheActionsThatWereDecided() {
        let user = User()
        let bridge = bridge(user, slots: 1)
        bridge.tell(.runBegan(1, priority: 5, slots: 1, memoryBytesMax: nil))
        user.onPerform = { [weak bridge] action in
            guard case .grant(_, 0, _) = action else { return }
            bridge?.tell(.givenBack(1, model: 0))
            bridge?.decide()
            user.log.append("told")
        }
        bridge.tell(ask(0))
        bridge.tell(ask(1))
        bridge.decide()
        #expect(user.log == ["grant 1.0", "told", "grant 1.1"])
    }

    @Test func thePoolIsToldOfWhenItHasChangedAndWheneverItWasAskedFor() {
        let user = User()
        let bridge = bridge(user)
        bridge.tell(.runBegan(1, priority: 5, slots: 2, memoryBytesMax: nil))
        user.onPerform = { [weak bridge] action in
            if case .shrinkPool = action { bridge?.answerPool(0) }
        }
        bridge.tellPool(1 << 29)
        bridge.tellPool(1 << 29)
        bridge.decide()
        // Half of the memory is in the pool: what wants more than the rest has it shrunk, once, as it was answered.
        bridge.tell(ask(0, bytes: 900 << 20))
        bridge.decide()
        #expect(user.log == ["shrink", "grant 1.0"])
    }
}
