import Glibc
import Scheduler
import System
import Testing

@testable import Engine
@testable import Store
@testable import System

@Suite struct WorkerProcessTests {
    private static let second: UInt64 = 1_000_000_000

    /// A worker that nobody has forked.
    static func worker(_ socket: MessageSocket? = nil) throws -> WorkerProcess {
        let (reading, _) = try DescriptorBox.pipe()
        let key = ZygoteKey(
            environment: "default", python: "/bin/sh", modules: [], hasNetwork: false, project: "/p", place: "")
        let ours = try socket ?? MessageSocket.pair().0
        let zygote = ZygoteProcess(
            key: key, channel: Channel(try MessageSocket.pair().0), output: try LineReader(reading), deadline: .max)
        return WorkerProcess(
            .init(3), "r1-w3", model: 0, of: zygote, zygoteBytes: 100, channel: Channel(ours),
            output: try LineReader(DescriptorBox.pipe().0), as: nil, in: nil)
    }

    private func file(_ bytes: Int = 1) throws -> DescriptorBox {
        DescriptorBox(try FileDescriptor.sealedMemory(named: "test", [UInt8](repeating: 1, count: bytes)))
    }

    private func publication(bytes: Int) throws -> WorkerMessage.Publication {
        let text = """
            {"op":"published","rows":0,"counts":{"reshared_bytes":5,"born_shared_bytes":0,"deanonymized_bytes":0,
            "packed_bytes":0,"copied_bytes":0}}
            """
        let message = try #require(Datagram(parsing: Array(text.utf8)))
        guard case .published(let publication) = try WorkerMessage(message, [file(bytes)], descriptorBytesMax: bytes)
        else { throw Malformed("another message") }
        return publication
    }

    @Test func aStepThatTakesTooLongIsToldOfOnce() throws {
        let worker = try Self.worker()
        let now = MonotonicClock.nanoseconds()
        #expect(!worker.isOverdue(now) && worker.isOverdue(now + 61 * Self.second))
        #expect(!worker.isOverdue(.max))
        worker.mustGoOn(within: 0)
        #expect(worker.isOverdue(MonotonicClock.nanoseconds()))
        worker.mustGoOn(within: 5)
        worker.mustGoOn(within: nil)
        #expect(!worker.isOverdue(.max))
    }

    @Test func aDeadWorkerThatNobodyTellsOfIsLostAfterAWhile() throws {
        let child = try ChildProcess(
            ["/bin/sleep", "1000"], environment: [:], folder: "/", output: .null, errors: .null)
        let worker = try Self.worker()
        let pidfd = try ProcessDescriptor(process: child.pid)
        try worker.forked(DescriptorBox(pidfd.descriptor.duplicate()))
        #expect(!worker.isLost(.max, whenCancelled: true), "nobody has killed it")
        worker.kill()
        while try Poll.wait([(pidfd.raw, .read)], timeoutMilliseconds: 1000)[0].rawValue == 0 {}
        let now = MonotonicClock.nanoseconds()
        #expect(
            !worker.isLost(now, whenCancelled: false) && !worker.isLost(now + 9 * Self.second, whenCancelled: false))
        #expect(worker.isLost(now + 10 * Self.second, whenCancelled: false))
        #expect(worker.isLost(now + 1 * Self.second, whenCancelled: true))
        _ = try child.wait()
    }

    @Test func oneThatWasNeverForkedHasASecondWhenItsRunIsCancelled() throws {
        let worker = try Self.worker()
        let now = MonotonicClock.nanoseconds()
        #expect(!worker.isLost(now, whenCancelled: false) && !worker.isOverdue(now + 2 * Self.second))
        #expect(!worker.isLost(now, whenCancelled: true) && !worker.isOverdue(now))
        // Looking again gives it no more time.
        #expect(!worker.isLost(now + Self.second, whenCancelled: true) && worker.isOverdue(now + Self.second))
    }

    @Test func aSecondResultIsNotTakenAndDescriptorsAreCounted() throws {
        let worker = try Self.worker()
        worker.begin(.init(memoryBytesMax: nil))
        #expect(worker.descriptorBytesLeft == Limit.descriptorBytesMax)
        #expect(worker.publish(try publication(bytes: 100)))
        #expect(!worker.publish(try publication(bytes: 7)))
        #expect(worker.published?.descriptor.bytes == 100)
        #expect(worker.descriptorBytesLeft == Limit.descriptorBytesMax - 100)
    }

    @Test func piecesAreTakenOnlyBetweenTheAnswerAndTheResult() throws {
        let identity = FileIdentity(
            path: "/f", device: 1, inode: 1, bytes: 1, mtimeNanoseconds: 1, ctimeNanoseconds: 1)
        let block = try #require(ScanBlock(file: identity, read: "", columns: ["a"], groups: [0..<1]))
        let piece = (block: block, descriptor: try ReceivedFile(file(10), bytesMax: 10))
        let worker = try Self.worker()
        worker.begin(.init(memoryBytesMax: nil))
        #expect(!worker.give([piece]))
        worker.beginScan()
        #expect(!worker.give([piece]))
        worker.noteAnswer()
        #expect(worker.give([piece, piece]) && worker.scan?.pieces.count == 2)
        #expect(worker.descriptorBytesLeft == Limit.descriptorBytesMax - 20)
        for _ in 1..<Limit.decodedMessagesMax { #expect(worker.give([])) }
        #expect(!worker.give([]), "there were so many messages")
        let many = try Self.worker()
        many.beginScan()
        many.noteAnswer()
        #expect(!many.give(Array(repeating: piece, count: Limit.decodedPiecesMax + 1)))
        #expect(many.publish(try publication(bytes: 1)) && !many.give([piece]))
    }

    @Test func withoutAGroupItsMemoryIsWhatItHasBesideItsZygotes() throws {
        let worker = try Self.worker()
        #expect(worker.memoryBytesMax == 0)
        worker.exited(.init(status: 0, signal: nil, memoryBytesMax: 250, cpuMilliseconds: 0))
        #expect(worker.memoryBytesMax == 150 && !worker.wasKilledForMemory)
        let small = try Self.worker()
        small.exited(.init(status: 0, signal: nil, memoryBytesMax: 99, cpuMilliseconds: 0))
        #expect(small.memoryBytesMax == 0)
    }

    @Test func eachSegmentOfTheInputsIsGivenOnceBeforeTheTables() throws {
        let (ours, theirs) = try MessageSocket.pair()
        let worker = try Self.worker(ours)
        let segments = try (1...Limit.descriptorsMax + 1).map {
            (id: SegmentID(rawValue: UInt64($0)), file: try file())
        }
        let descriptor = try file()
        // The two tables share all but one of their segments.
        let loans = [
            Loan(descriptor: descriptor, segments: segments), Loan(descriptor: descriptor, segments: [segments[3]]),
        ]
        try worker.give(inputs: loans)
        var ids: [Int64] = []
        var inputs: [Int64] = []
        while inputs.count < loans.count {
            let arrival = try theirs.receive(bytesMax: 1 << 20, descriptorsMax: Limit.descriptorsMax, wait: false)
            guard case .message(let message) = arrival else {
                Issue.record("a message is missing")
                break
            }
            let datagram = try #require(Datagram(parsing: message.bytes))
            worker.channel.flush()
            if datagram.op == "segments" {
                let named = datagram.body["ids"]?.array?.compactMap(\.integer) ?? []
                #expect(named.count == message.descriptors.count && inputs.isEmpty)
                ids += named
            } else {
                #expect(datagram.op == "table" && message.descriptors.count == 1)
                inputs += [datagram.body["input"]?.integer ?? -1]
            }
        }
        #expect(ids == segments.map { Int64($0.id.rawValue) } && inputs == [0, 1])
    }
}
