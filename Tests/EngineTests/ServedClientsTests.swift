import System
import Testing

@testable import Engine
@testable import System

@Suite struct ServedClientsTests {
    /// A client, and its end of the connection.
    private func client() throws -> (ServedClient, MessageSocket) {
        let (ours, theirs) = try MessageSocket.pair()
        return (ServedClient(ours), theirs)
    }

    /// The op of the message that the client's end gets next; nil: it finds the connection closed.
    private func hears(_ socket: MessageSocket) throws -> String? {
        guard case .message(let message) = try socket.receive(bytesMax: 1 << 17) else { return nil }
        return Datagram(parsing: message.bytes)?.op
    }

    @Test func ofTooManyTheOneLeavesThatHasWantedNothingForLongest() throws {
        let clients = ServedClients(descriptorsMax: 3 * Limit.clientDescriptorParts)
        let (busy, busyEnd) = try client()
        busy.ask()
        clients.add(busy)
        var ends: [MessageSocket] = []
        for _ in 0..<4 {
            let (idle, end) = try client()
            clients.add(idle)
            ends.append(end)
        }
        #expect(clients.all.count == 3)
        #expect(!busy.channel.isClosed && busy.cutOffReason == nil)
        for end in ends[..<2] { #expect(try hears(end) == nil) }
        for end in ends[2...] {
            guard case .nothing = try end.receive(bytesMax: 100, wait: false) else {
                Issue.record("one of the newest was cut off")
                continue
            }
        }
        _ = busyEnd
    }

    @Test func whereAllHaveRunsOneMoreIsRefusedAndHungUpOn() throws {
        let clients = ServedClients(descriptorsMax: Limit.clientDescriptorParts)
        let (busy, busyEnd) = try client()
        busy.ask()
        clients.add(busy)
        var (late, end): (ServedClient?, MessageSocket) = try client()
        // Its call lies there unread when it is refused: it hears the refusal all the same.
        try end.send(Array(#"{"op":"run"}"#.utf8))
        if let client = late { clients.add(client) }
        late = nil
        #expect(try hears(end) == "refused")
        #expect(try hears(end) == nil)
        #expect(clients.all.count == 1 && !busy.channel.isClosed)
        _ = busyEnd
    }

    @Test func descriptorsBoundHowManyThereAre() throws {
        let few = ServedClients(descriptorsMax: 1)
        let (first, firstEnd) = try client()
        few.add(first)
        #expect(few.all.count == 1)
        let many = ServedClients(descriptorsMax: .max)
        for _ in 0...Limit.clientsMax { many.add(try client().0) }
        #expect(many.all.count == Limit.clientsMax)
        _ = firstEnd
    }

    @Test func whoWantsNothingLeavesAfterAWhile() throws {
        let clients = ServedClients(descriptorsMax: .max)
        let (idle, idleEnd) = try client()
        let (busy, busyEnd) = try client()
        clients.add(idle)
        clients.add(busy)
        busy.ask()
        let seconds = UInt64(Limit.clientIdleSecondsMax) * 1_000_000_000
        clients.cutOffIdle(idle.idleSince)
        clients.cutOffIdle(idle.idleSince - 1)
        clients.cutOffIdle(idle.idleSince + seconds)
        #expect(!idle.channel.isClosed)
        clients.cutOffIdle(idle.idleSince + seconds + 1)
        #expect(idle.channel.isClosed && idle.cutOffReason != nil)
        #expect(!busy.channel.isClosed)
        clients.removeGone()
        #expect(clients.all.count == 1)
        // Its run is over: from now on it wants nothing.
        busy.endAsking()
        clients.cutOffIdle(busy.idleSince + seconds)
        #expect(!busy.channel.isClosed)
        clients.cutOffIdle(busy.idleSince + seconds + 1)
        #expect(busy.channel.isClosed)
        _ = (idleEnd, busyEnd)
    }

    @Test func whoIsStillBeingToldSomethingStays() throws {
        let (reading, end) = try client()
        let clients = ServedClients(descriptorsMax: .max)
        clients.add(reading)
        while reading.channel.waitingCount == 0 { reading.note("more than a socket holds") }
        let later = reading.idleSince + UInt64(Limit.clientIdleSecondsMax + 1) * 1_000_000_000
        clients.cutOffIdle(later)
        #expect(!reading.channel.isClosed)
        // A refusal waits for nobody so long.
        reading.refuse("no")
        #expect(!reading.channel.isClosed, "it has not been told")
        clients.cutOffIdle(later)
        #expect(reading.channel.isClosed)
        _ = end
    }
}
