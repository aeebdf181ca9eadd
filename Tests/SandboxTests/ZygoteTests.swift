import Glibc
import System
import Testing

@testable import Sandbox

/// Zygotes that are shell scripts. Those that need namespaces are skipped where the machine forbids them.
@Suite(.serialized) struct ZygoteTests {
    static let isPossible = (try? SandboxProbe.run()) != nil

    /// A zygote that runs a script, and what it prints until it and all that holds its output are gone.
    struct Script {
        let zygote: Zygote
        let output: DescriptorBox
        let control: MessageSocket

        init(_ script: String, readPaths: [String] = [], hasNetwork: Bool = false, isSandboxed: Bool = true) throws {
            let (ours, theirs) = try MessageSocket.pair()
            let (reading, writing) = try DescriptorBox.pipe()
            zygote = try Zygote.spawn(
                ZygoteSpec(
                    arguments: ["/bin/sh", "-c", script], environment: ["PATH": "/usr/bin:/bin", "MARK": "here"],
                    readPaths: readPaths, hasNetwork: hasNetwork, isSandboxed: isSandboxed, tmpBytesMax: 1 << 20),
                control: theirs.descriptor, output: writing.descriptor)
            output = reading
            control = ours
        }

        func text() throws -> String {
            var text: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = try piece.withUnsafeMutableBytes { try output.descriptor.read(into: $0) }
                if count == 0 { return String(decoding: text, as: UTF8.self) }
                text += piece[..<count]
            }
        }

        func lines() throws -> [String] { try text().split(separator: "\n").map(String.init) }
    }

    @Test(.enabled(if: isPossible)) func itIsTheFirstProcessOfItsNamespaceAndItsRoot() throws {
        let script = try Script("echo $$; id -u; id -g; echo $MARK; cat /proc/sys/kernel/hostname; ls /")
        let lines = try script.lines()
        #expect(lines.prefix(5) == ["1", "0", "0", "here", "zerrow"])
        #expect(!lines.contains("home") && lines.contains("usr"))
        script.zygote.wait()
    }

    @Test(.enabled(if: isPossible)) func itHasTheDescriptorsItIsGivenAndNoOther() throws {
        let open = try FileDescriptor.open("/dev/null")
        // One that would be inherited: not close-on-exec.
        let leaked = dup(open.raw)
        defer { close(leaked) }
        let script = try Script("ls /proc/self/fd; test -S /proc/self/fd/3 && echo socket")
        // 4 is the folder that ls reads.
        #expect(try script.lines() == ["0", "1", "2", "3", "4", "socket"])
    }

    @Test(.enabled(if: isPossible)) func itSeesWhatItIsShownReadOnly() throws {
        let scratch = try PrivateRootTests.Scratch()
        let folder = try scratch.folder("shown")
        _ = try scratch.folder("hidden")
        try Files.write("\(folder)/file", "content\n", mode: 0o644)
        chmod(scratch.path, 0o755)
        let script = try Script(
            "ls \(scratch.path); cat \(folder)/file; (echo x > \(folder)/file) 2>/dev/null || echo refused",
            readPaths: [folder])
        #expect(try script.lines() == ["shown", "content", "refused"])
    }

    @Test(.enabled(if: isPossible)) func itHasANetworkOnlyWhenItIsAskedFor() throws {
        #expect(try Script("grep -c : /proc/net/dev").lines() == ["1"])
        let own = try Files.read("/proc/net/dev", bytesMax: 1 << 20).filter { $0 == UInt8(ascii: ":") }.count
        #expect(try Script("tr -cd : < /proc/net/dev | wc -c", hasNetwork: true).lines() == ["\(own)"])
    }

    @Test(.enabled(if: isPossible)) func killingItKillsAllThatItStarted() throws {
        let script = try Script("(trap '' TERM HUP INT; setsid sleep 1000 & setsid sleep 1000 &); echo up; sleep 1000")
        var byte: UInt8 = 0
        for _ in 0..<3 { _ = try withUnsafeMutableBytes(of: &byte) { try script.output.descriptor.read(into: $0) } }
        script.zygote.kill()
        script.zygote.wait()
        // The end of the pipe: all who held it are dead.
        #expect(try script.text() == "")
    }

    @Test(.enabled(if: isPossible)) func itEndsWithItsLastReference() throws {
        var script: Script? = try Script("echo up; sleep 1000")
        let pid = try #require(script).zygote.pid
        script = nil
        #expect(kill(pid, 0) < 0)
    }

    @Test(.enabled(if: isPossible)) func aProgramThatIsNotThereIsAnErrorThatSaysSo() throws {
        let (_, theirs) = try MessageSocket.pair()
        let null = try FileDescriptor.open("/dev/null", O_WRONLY)
        let spec = ZygoteSpec(
            arguments: ["/usr/bin/nothing-of-that-name"], environment: [:], readPaths: [], hasNetwork: false,
            isSandboxed: true, tmpBytesMax: 1 << 20)
        let error = #expect(throws: SandboxError.self) {
            _ = try Zygote.spawn(spec, control: theirs.descriptor, output: null)
        }
        #expect(error?.description.contains("nothing-of-that-name") == true || error?.errno == ENOENT)
    }

    @Test(.enabled(if: isPossible)) func manyAtATimeDoNotDisturbEachOther() throws {
        let scripts = try (0..<8).map { try Script("read line < /dev/null; echo \($0)") }
        for (index, script) in scripts.enumerated() { #expect(try script.lines() == ["\(index)"]) }
    }

    @Test func withoutASandboxItIsAnOrdinaryProcess() throws {
        let script = try Script("id -u; test -S /proc/self/fd/3 && echo socket", isSandboxed: false)
        #expect(try script.lines() == ["\(geteuid())", "socket"])
    }
}
