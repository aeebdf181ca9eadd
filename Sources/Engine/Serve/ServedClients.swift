import System

/// The clients of an engine that serves: how many there may be, and which of them have to leave.
///
/// Each costs the engine descriptors, which runs and their workers need too. So there is a bound, and who is connected and wants nothing
/// leaves by itself. Used on the engine's thread.
final class ServedClients {
    private(set) var all: [ServedClient] = []
    private let countMax: Int

    /// - Parameter descriptorsMax: how many descriptors the engine may have.
    init(descriptorsMax: Int) {
        countMax = max(1, min(Limit.clientsMax, descriptorsMax / Limit.clientDescriptorParts))
    }

    /// Whether one of them has a run, or has asked for one.
    var isBusy: Bool { all.contains(where: \.isBusy) }

    /// Takes in a client. When there are as many as there may be, the one leaves that has wanted nothing for longest; where all have
    /// runs, this one is refused.
    func add(_ client: ServedClient) {
        if all.count >= countMax {
            guard let idle = all.filter({ !$0.isBusy }).min(by: { $0.idleSince < $1.idleSince }) else {
                return client.refuse("it has \(countMax) clients, and no more may it have")
            }
            idle.cutOff("it wanted nothing, and there are too many clients")
            all.removeAll { $0 === idle }
        }
        all.append(client)
    }

    /// Cuts off those that have wanted nothing, and were not being told anything, for `Limit.clientIdleSecondsMax`; and those that don't take
    /// their refusal for so long.
    func cutOffIdle(_ now: UInt64 = MonotonicClock.nanoseconds()) {
        for client in all where !client.isBusy && (client.channel.waitingCount == 0 || client.isRefused) {
            // The loop's clock may be read before a client came.
            guard now > client.idleSince, now - client.idleSince > UInt64(Limit.clientIdleSecondsMax) * 1_000_000_000
            else { continue }
            client.cutOff("it wanted nothing for \(Limit.clientIdleSecondsMax) s")
        }
    }

    /// Forgets those that are gone, once their runs are over.
    func removeGone() { all.removeAll { $0.channel.isClosed && $0.run == nil } }
}
