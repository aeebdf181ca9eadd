import Scheduler
import Store
import Testing

@testable import Engine

/// Calls shared scans by reference.
private final class Desk {
    private let scans = SharedScans()
    /// The runs that asked anew, because whom they waited for made nothing.
    private(set) var askedAnew: [Int] = []

    func ask(_ ask: SharedScans.Ask, _ key: String = "k") -> Bool { scans.ask(ask, key: key) }
    func grant(_ run: Int) -> SharedScans.Decision { scans.grant(.init(run, 0), key: "k") }
    func withdraw(_ run: Int) { scans.withdraw(.init(run, 0), key: "k") }
    func end(_ run: Int) { scans.end(.init(run, 0), key: "k") }
    func add(_ result: SharedScans.Result) { scans.add(result, key: "k") }
    func forget(_ table: UInt64) { scans.forget(TableID(rawValue: table)) }

    /// The runs that are answered now, with their tables.
    func answers() -> [Int: UInt64?] {
        var answers: [Int: UInt64?] = [:]
        while let (ask, result, key) = scans.takeWoken() {
            answers[ask.run] = .some(result?.table.rawValue)
            if result == nil, scans.ask(ask, key: key) { askedAnew.append(ask.run) }
        }
        return answers
    }
}

/// Runs that want the same scan.
@Suite struct SharedScansTests {
    private func ask(_ run: Int, _ model: Int = 0, isRetry: Bool = false) -> SharedScans.Ask {
        SharedScans.Ask(run: run, model: model, rank: run, isRetry: isRetry)
    }

    private func result(_ table: UInt64) -> SharedScans.Result {
        SharedScans.Result(
            table: TableID(rawValue: table), output: RunReport.Output(rows: 1, counts: ByteCounts()), units: 3)
    }

    @Test func oneMakesTheScanAndTheOthersShareIt() {
        let desk = Desk()
        #expect(desk.ask(ask(1)))
        #expect(desk.ask(ask(2)))
        #expect(desk.ask(ask(3), "other"))
        #expect(desk.grant(2) == .begin(waiting: [ask(1)]))
        #expect(!desk.ask(ask(4)))
        #expect(desk.answers().isEmpty)
        desk.add(result(7))
        desk.end(2)
        #expect(desk.answers() == [1: 7, 4: 7])
        // Also those that come later, as long as somebody holds it.
        #expect(!desk.ask(ask(5)))
        #expect(desk.answers() == [5: 7])
        desk.forget(7)
        #expect(desk.ask(ask(6)))
        #expect(desk.askedAnew.isEmpty)
    }

    @Test func whenTheMakerComesToNothingAnotherOneMakesIt() {
        let desk = Desk()
        for run in 1...3 { #expect(desk.ask(ask(run))) }
        #expect(desk.grant(1) == .begin(waiting: [ask(2), ask(3)]))
        desk.end(1)
        #expect(desk.answers() == [2: nil, 3: nil])
        #expect(desk.askedAnew == [2, 3])
        #expect(desk.grant(3) == .begin(waiting: [ask(2)]))
    }

    @Test func aGrantThatIsOnItsWayIsGivenBackByWhoWaits() {
        let desk = Desk()
        for run in 1...2 { #expect(desk.ask(ask(run))) }
        #expect(desk.grant(1) == .begin(waiting: [ask(2)]))
        #expect(desk.grant(2) == .wait)
        desk.add(result(7))
        desk.end(1)
        #expect(desk.answers() == [2: 7])
    }

    @Test func whoWithdrawsIsNotAnswered() {
        let desk = Desk()
        for run in 1...4 { #expect(desk.ask(ask(run))) }
        desk.withdraw(4)
        #expect(desk.grant(1) == .begin(waiting: [ask(2), ask(3)]))
        desk.withdraw(2)
        desk.end(1)
        desk.withdraw(3)
        #expect(desk.answers().isEmpty)
    }

    @Test func whoIsToHaveAllMemoryForItselfWaitsForNobody() {
        let desk = Desk()
        #expect(desk.ask(ask(1)))
        #expect(desk.ask(ask(2, isRetry: true)))
        #expect(desk.grant(1) == .begin(waiting: []))
        #expect(desk.ask(ask(3, isRetry: true)))
        #expect(desk.grant(2) == .begin(waiting: []))
        // It isn't the one that others wait for.
        #expect(!desk.ask(ask(4)))
        desk.end(2)
        #expect(desk.answers().isEmpty)
        desk.end(1)
        #expect(desk.answers() == [4: nil])
    }

    @Test func aTableThatWasMadeAgainIsNotForgottenWithTheFirst() {
        let desk = Desk()
        desk.add(result(7))
        desk.add(result(8))
        desk.forget(7)
        #expect(!desk.ask(ask(1)))
        #expect(desk.answers() == [1: 8])
    }
}
