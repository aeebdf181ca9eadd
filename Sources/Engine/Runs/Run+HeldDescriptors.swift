import Sandbox
import Scheduler
import System

/// Descriptors that a worker can't send, as others of its user have too many on their way: it says which ones it holds.
extension Run {
    /// How many answers may wait for a worker that doesn't read them.
    private static let answersMax = 16

    /// The descriptors that belong to a worker's message: those that came with it, or those that it holds, which are taken out of it.
    ///
    /// The numbers are the worker's word; whatever they mean there is what it might have sent as well.
    ///
    /// - Throws: for a message that names what can't be taken.
    /// - Returns: nil where they could not be taken. The message is void then: the worker was told, and tries again.
    func descriptors(
        of message: Datagram, _ came: [DescriptorBox], from worker: WorkerProcess
    ) throws(Malformed) -> [DescriptorBox]? {
        guard let held = message.body["held"]?.array else { return came }
        let numbers = held.compactMap { $0.integer.flatMap { Int32(exactly: $0) } }
        guard came.isEmpty, numbers.count == held.count, numbers.count <= Limit.descriptorsMax,
            worker.channel.waitingCount < Self.answersMax
        else {
            throw Malformed("the names of descriptors that nobody can take")
        }
        var taken: [DescriptorBox]?
        if let pidfd = worker.pidfd { taken = try? numbers.map { try pidfd.take($0) } }
        try? worker.channel.send(Datagram.taken(taken != nil))
        return taken
    }
}
