import Glibc
import System
import Testing

@testable import Engine
@testable import System

@Suite struct ChannelTests {
    private func read(_ message: Datagram, _ files: [DescriptorBox]) throws(Malformed) -> WorkerMessage {
        try WorkerMessage(message, files, descriptorBytesMax: 1 << 20)
    }

    @Test func aMessageThatIsTooLongIsAnErrorAndNothingIsSent() throws {
        let (ours, theirs) = try MessageSocket.pair()
        let channel = Channel(ours)
        #expect(throws: EngineError.self) {
            try channel.send(["op": "note", "text": .string(String(repeating: "x", count: Limit.messageBytesMax))])
        }
        #expect(channel.waitingCount == 0 && channel.waitingBytes == 0)
        try channel.send(["op": "note"])
        guard case .message(let message) = try theirs.receive(bytesMax: 100) else { return #expect(Bool(false)) }
        #expect(Datagram(parsing: message.bytes)?.op == "note")
    }

    @Test func whatIsNoMessageEndsNobodyButItsSender() throws {
        let contents = [
            Array("x".utf8), [0xff], Array("[]".utf8), Array(#"{"op":"launch"}"#.utf8), Array(#"{"op":7}"#.utf8),
            Array(repeating: UInt8(ascii: "["), count: 60_000), Array(#"{"op":"published"}"#.utf8),
            [UInt8](repeating: 0x20, count: Limit.messageBytesMax + 1),
        ]
        for content in contents {
            let (ours, theirs) = try MessageSocket.pair()
            try theirs.send(content)
            guard case .malformed = Channel(ours).receive(read) else {
                Issue.record("\(content.prefix(20)) was taken")
                continue
            }
        }
        let (ours, theirs) = try MessageSocket.pair()
        try theirs.send(
            Array(#"{"op":"running"}"#.utf8),
            descriptors: Array(repeating: theirs.raw, count: Limit.descriptorsMax + 1))
        guard case .malformed = Channel(ours).receive(read) else { return #expect(Bool(false)) }
    }

    @Test func aPayloadTakesNoDescriptorBeforeItIsItsTurn() throws {
        /// The payloads that this process holds; other tests may have some, too.
        func payloadCount() throws -> Int {
            try Files.list("/proc/self/fd").count { name in
                var target = [CChar](repeating: 0, count: 64)
                readlink("/proc/self/fd/\(name)", &target, target.count - 1)
                return String(cString: target).contains("payload")
            }
        }
        let (ours, theirs) = try MessageSocket.pair()
        let channel = Channel(ours)
        let payload = [UInt8](repeating: 7, count: 1000)
        for _ in 0..<2000 { try channel.send(["op": "memory"], payload: payload) }
        #expect(channel.waitingCount > 100 && channel.waitingBytes > 100_000)
        // Those on their way are the kernel's; one more is made for the message whose turn it is.
        #expect(try payloadCount() < 20)
        var count = 0
        while count < 2000, case .message(let message) = try theirs.receive(bytesMax: 1000, wait: false) {
            #expect(message.descriptors.count == 1)
            #expect(try message.descriptors[0].descriptor.bytes(0..<1000) == payload)
            count += 1
            channel.flush()
        }
        #expect(count == 2000 && channel.waitingBytes == 0)
    }

    @Test func aChannelThatEndsIsClosedWhenAllIsSent() throws {
        let (ours, theirs) = try MessageSocket.pair()
        var channel: Channel? = Channel(ours)
        while channel?.waitingCount == 0 { try channel?.send(["op": "note"]) }
        try channel?.send(["op": "refused"])
        channel?.closeWhenSent()
        try channel?.send(["op": "note"])
        #expect(channel?.isClosed == false)
        var last: String?
        while case .message(let message) = try theirs.receive(bytesMax: 1000, wait: false) {
            last = Datagram(parsing: message.bytes)?.op
            channel?.flush()
        }
        #expect(last == "refused")
        #expect(channel?.isClosed == true)
        channel = nil
    }

    @Test func aClosedChannelKeepsNothing() throws {
        let (ours, theirs) = try MessageSocket.pair()
        let channel = Channel(ours)
        for _ in 0..<2000 { try channel.send(["op": "note"]) }
        channel.close()
        try channel.send(["op": "note"])
        #expect(channel.waitingCount == 0 && channel.waitingBytes == 0)
        _ = theirs
    }
}

@Suite struct LineReaderTests {
    private func pipe() throws -> (LineReader, DescriptorBox) {
        let (reading, writing) = try DescriptorBox.pipe()
        return (try LineReader(reading), writing)
    }

    private func write(_ text: String, to file: DescriptorBox) throws {
        try Array(text.utf8).withUnsafeBytes { try file.descriptor.writeAll($0) }
    }

    @Test func linesComeWithoutTheirEndsAndTheLastOneAtTheEnd() throws {
        let (reader, writing) = try pipe()
        try write("one\n\ntwo\nthr", to: writing)
        #expect(reader.lines() == ["one", "", "two"])
        try write("ee", to: writing)
        #expect(reader.lines() == [])
        _ = consume writing
        #expect(reader.lines() == ["three"] && reader.isClosed)
    }

    @Test func aFloodOfEmptyLinesIsGivenOutInParts() throws {
        let (reader, writing) = try pipe()
        try write(String(repeating: "\n", count: 10_000), to: writing)
        var count = 0
        repeat {
            let lines = reader.lines()
            #expect(lines.count <= Limit.linesPerTurn)
            count += lines.count
        } while reader.hasMore
        #expect(count == 10_000 && !reader.isClosed)
    }

    @Test func aLineWithoutEndIsCut() throws {
        let (reader, writing) = try pipe()
        try write(String(repeating: "x", count: 40_000), to: writing)
        let lines = reader.lines()
        #expect(lines.map(\.count) == [Limit.lineBytesMax, Limit.lineBytesMax])
        _ = consume writing
        #expect(reader.lines().map(\.count) == [40_000 - 2 * Limit.lineBytesMax] && reader.isClosed)
    }

    @Test func whatIsLeftOfADeadProcessIsReadToItsEnd() throws {
        let (reader, writing) = try pipe()
        try write(String(repeating: "a\n", count: 20_000) + "b", to: writing)
        _ = consume writing
        #expect(reader.lastLines() == Array(repeating: "a", count: 20_000) + ["b"])
        #expect(reader.isClosed)
    }
}
