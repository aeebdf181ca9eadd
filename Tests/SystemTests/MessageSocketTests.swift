import Glibc
import System
import Testing

@Suite struct MessageSocketTests {
    private func message(_ receipt: Receipt) throws -> Message {
        guard case .message(let message) = receipt else { throw Unexpected(receipt: "\(receipt)") }
        return message
    }

    @Test func bytesAndDescriptorsArriveInOrder() throws {
        let (left, right) = try MessageSocket.pair()
        let files = try (0..<3).map { DescriptorBox(try FileDescriptor.sealedMemory(named: "f", [UInt8($0)])) }
        try left.send([1, 2, 3], descriptors: files.map(\.raw))
        try left.send([4])
        let first = try message(right.receive(bytesMax: 100))
        #expect(first.bytes == [1, 2, 3])
        #expect(try first.descriptors.map { try $0.descriptor.bytes(0..<1) } == [[0], [1], [2]])
        #expect(first.descriptors.allSatisfy { fcntl($0.raw, F_GETFD) & FD_CLOEXEC != 0 })
        let second = try message(right.receive(bytesMax: 100))
        #expect(second.bytes == [4] && second.descriptors.isEmpty)
    }

    @Test func nothingAndTheEndAreToldApart() throws {
        let (left, right) = try MessageSocket.pair()
        guard case .nothing = try right.receive(bytesMax: 10, wait: false) else {
            throw Unexpected(receipt: "not nothing")
        }
        try left.send([1])
        try closeEarly(left)
        #expect(try message(right.receive(bytesMax: 10)).bytes == [1])
        guard case .closed = try right.receive(bytesMax: 10) else { throw Unexpected(receipt: "not closed") }
        let error = #expect(throws: SystemError.self) { try right.send([1]) }
        #expect(error?.errno == EPIPE)
    }

    private func closeEarly(_ socket: MessageSocket) throws { #expect(shutdown(socket.raw, Int32(SHUT_RDWR)) == 0) }

    @Test func whatAPeerSaidIsReadAlsoIfItDidNotListenAndIsGone() throws {
        let left: MessageSocket
        var right: MessageSocket?
        (left, right) = try MessageSocket.pair()
        try left.send([1])
        try right?.send([2])
        try right?.send([3])
        right = nil
        #expect(try message(left.receive(bytesMax: 10)).bytes == [2])
        #expect(try message(left.receive(bytesMax: 10)).bytes == [3])
        guard case .closed = try left.receive(bytesMax: 10) else { return #expect(Bool(false)) }
    }

    @Test(arguments: [1, 2, 5, 253]) func tooManyDescriptorsAreRefusedAndClosed(sent: Int) throws {
        let (left, right) = try MessageSocket.pair()
        let (reading, writing) = try passToPipe()
        try left.send([1], descriptors: [Int32](repeating: writing.raw, count: sent))
        let error = #expect(throws: SystemError.self) { _ = try right.receive(bytesMax: 10, descriptorsMax: sent - 1) }
        #expect(error?.errno == EMSGSIZE)
        // Only this test's own write end is left: a leaked copy of it would keep the pipe from hanging up.
        try expectLastWriter(writing, reading)
    }

    @Test func aMessageThatIsTooLongIsRefusedAndItsDescriptorsAreClosed() throws {
        let (left, right) = try MessageSocket.pair()
        let (reading, writing) = try passToPipe()
        try left.send([UInt8](repeating: 1, count: 11), descriptors: [writing.raw])
        #expect(throws: SystemError.self) { _ = try right.receive(bytesMax: 10) }
        try left.send([2])
        #expect(try message(right.receive(bytesMax: 10)).bytes == [2])
        try expectLastWriter(writing, reading)
    }

    @Test func asManyDescriptorsAsAllowedArrive() throws {
        let (left, right) = try MessageSocket.pair()
        let file = try FileDescriptor.sealedMemory(named: "f", [1])
        try left.send([1], descriptors: [Int32](repeating: file.raw, count: 253))
        #expect(try message(right.receive(bytesMax: 10)).descriptors.count == 253)
    }

    private func passToPipe() throws -> (reading: DescriptorBox, writing: DescriptorBox) { try DescriptorBox.pipe() }

    /// Replaces the write end by something else, so that the pipe hangs up unless another descriptor keeps it open.
    private func expectLastWriter(_ writing: DescriptorBox, _ reading: DescriptorBox) throws {
        let other = try FileDescriptor.sealedMemory(named: "f", [1])
        #expect(dup2(other.raw, writing.raw) == writing.raw)
        #expect(try Poll.wait([(reading.raw, .read)], timeoutMilliseconds: 5000)[0].contains(.hangUp))
    }
}

struct Unexpected: Error { let receipt: String }
