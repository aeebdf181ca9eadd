import Scheduler
import Testing

/// What only a faulty engine can tell the resource manager, traps.
@Suite struct ResourceContractTests {
    private static func manager() -> ResourceManager {
        var manager = ResourceManager(limits: .init(memoryBytesMax: 100, slots: 1))
        _ = manager.handle(.runBegan(1, priority: 5, slots: 1, memoryBytesMax: nil))
        return manager
    }

    private static let ask = ResourceManager.Event.asked(.init(run: 1, model: 0, rank: 0, expectedBytes: 1))

    @Test func aGrantIsGivenBackOnce() async {
        await #expect(processExitsWith: .failure) {
            var manager = Self.manager()
            _ = manager.handle([Self.ask, .givenBack(1, model: 0)])
        }
    }

    @Test func aModelThatIsGrantedDoesNotAsk() async {
        await #expect(processExitsWith: .failure) {
            var manager = Self.manager()
            _ = manager.handle(Self.ask)
            _ = manager.handle(Self.ask)
        }
    }

    @Test func aGrantThatCrossesAWithdrawalAnswersTheNextAsk() {
        var manager = Self.manager()
        #expect(manager.handle(Self.ask).count == 1)
        #expect(manager.handle([.withdrawn(1, model: 0), Self.ask]) == [])
        #expect(manager.handle([.givenBack(1, model: 0), .runEnded(1)]) == [])
    }

    @Test func aRunAsksAfterItBegan() async {
        await #expect(processExitsWith: .failure) {
            var manager = Self.manager()
            _ = manager.handle(.asked(.init(run: 2, model: 0, rank: 0, expectedBytes: 1)))
        }
    }

    @Test func aRunEndsWhenItsGrantsAreGivenBack() async {
        await #expect(processExitsWith: .failure) {
            var manager = Self.manager()
            _ = manager.handle(Self.ask)
            _ = manager.handle(.runEnded(1))
        }
    }

    @Test func onlyWhatWasToGoIsEvicted() async {
        await #expect(processExitsWith: .failure) {
            var manager = Self.manager()
            _ = manager.handle(.tableHeld(.cache(1), .init(bytes: 1, ways: [.spill])))
            _ = manager.handle(.evicted(.cache(1), .spill, bytesFreed: 1))
        }
    }
}
