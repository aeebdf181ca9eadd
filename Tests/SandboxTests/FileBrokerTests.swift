import Glibc
import System
import Testing

@testable import Sandbox

@Suite struct FileBrokerTests {
    private func file(named name: String, _ content: String) throws -> BrokeredFile {
        let path = "/tmp/zerrow-broker-\(getpid())-\(name)"
        let file = DescriptorBox(try FileDescriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644))
        try Array(content.utf8).withUnsafeBytes { try file.descriptor.writeAll($0, at: 0) }
        var status = stat()
        stat(path, &status)
        return BrokeredFile(path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Asks for the first files of a list; the errors, and the files' content.
    private func ask(_ box: DescriptorBox, count: UInt32) throws -> ([Int32], [String]) {
        let socket = MessageSocket(try box.descriptor.duplicate())
        try socket.send(withUnsafeBytes(of: (UInt32(0), count)) { Array($0) })
        guard case .message(let message) = try socket.receive(bytesMax: 4096) else { return ([], []) }
        let errors = message.bytes.withUnsafeBytes { Array($0.bindMemory(to: Int32.self)) }
        let texts = try message.descriptors.map {
            String(decoding: try $0.descriptor.bytes(0..<$0.descriptor.status().bytes), as: UTF8.self)
        }
        return (errors, texts)
    }

    @Test func filesAreOpenedWhichAreWhatTheyWere() throws {
        let one = try file(named: "one", "1")
        var two = try file(named: "two", "2")
        defer { for each in [one, two] { try? Files.remove(each.path) } }
        two.inode += 1
        let broker = FileBroker()
        #expect(try ask(broker.offer([one, two]), count: 2) == ([0, ESTALE], ["1"]))
        #expect(try ask(broker.offer([one, one]), count: 2) == ([0, 0], ["1", "1"]))
        #expect(try ask(broker.offer([one]), count: 2) == ([0, EINVAL], ["1"]), "there is no second one")
    }

    @Test func oneThatHasDiedIsStartedAgain() throws {
        let one = try file(named: "again", "1")
        defer { try? Files.remove(one.path) }
        let broker = FileBroker()
        #expect(try ask(broker.offer([one]), count: 1).1 == ["1"])
        broker.stop()
        #expect(try ask(broker.offer([one]), count: 1).1 == ["1"])
    }
}
