import Glibc
import System
import Testing

@Suite struct NoticesTests {
    @Test func aProcessIsSignalledAndItsEndIsSeen() throws {
        var child = pid_t()
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("60"), nil]
        defer { arguments.forEach { free($0) } }
        #expect(posix_spawnp(&child, "sleep", nil, nil, arguments, nil) == 0)
        let process = try ProcessDescriptor(process: child)
        #expect(try process.process() == child)
        #expect(try Poll.wait([(process.raw, .read)], timeoutMilliseconds: 0) == [[]])
        try process.send(signal: SIGKILL)
        #expect(try Poll.wait([(process.raw, .read)], timeoutMilliseconds: 10_000)[0].contains(.read))
        var status: Int32 = 0
        #expect(waitpid(child, &status, 0) == child)
        #expect(try process.process() == nil)
        let error = #expect(throws: SystemError.self) { try process.send(signal: SIGKILL) }
        #expect(error?.errno == ESRCH)
    }

    @Test func aDescriptorThatIsNoProcessIsRefused() throws {
        let process = ProcessDescriptor(try FileDescriptor.sealedMemory(named: "f", [1]))
        #expect(throws: SystemError.self) { _ = try process.process() }
    }

    @Test func aSignalIsReadOnce() throws {
        let signals = try SignalDescriptor([SIGWINCH])
        #expect(try signals.next() == nil)
        #expect(pthread_kill(pthread_self(), SIGWINCH) == 0)
        #expect(try Poll.wait([(signals.raw, .read)], timeoutMilliseconds: 10_000)[0].contains(.read))
        #expect(try signals.next() == SIGWINCH)
        #expect(try signals.next() == nil)
    }

    @Test func pollTellsWhichPipeIsReady() throws {
        let (first, second) = (try DescriptorBox.pipe(), try DescriptorBox.pipe())
        try withBytes([1, 2]) { bytes throws(SystemError) in try second.writing.descriptor.writeAll(bytes) }
        let ready = try Poll.wait([
            (first.reading.raw, .read), (second.reading.raw, .read), (first.writing.raw, .write),
        ])
        #expect(ready == [[], .read, .write])
    }
}
