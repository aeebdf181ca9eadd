import Glibc
import System
import Testing

@testable import Sandbox

/// Control groups of this machine; skipped where none can be made.
@Suite(.serialized) struct CgroupTests {
    static let isPossible: Bool = {
        guard let tree = CgroupTree.make() else { return false }
        tree.remove()
        return true
    }()

    /// Which controllers there are beside memory.
    static let (sharesProcessor, boundsProcesses): (Bool, Bool) = {
        guard let tree = CgroupTree.make() else { return (false, false) }
        defer { tree.remove() }
        return (tree.sharesProcessor, tree.boundsProcesses)
    }()

    /// A shell that waits for the end of its descriptor 3 before it runs a script: time to be put into a group.
    private func start(_ script: String) throws -> (child: ChildProcess, go: DescriptorBox) {
        let (reading, writing) = try DescriptorBox.pipe()
        let child = try ChildProcess(
            ["sh", "-c", "read x <&3; exec 3<&-; \(script)"], environment: ["PATH": "/usr/bin:/bin"], folder: "/",
            output: .null, errors: .null, inherited: [reading.raw])
        return (child, writing)
    }

    @Test(.enabled(if: isPossible)) func theLimitKillsTheWorkerAndNobodyElse() throws {
        let tree = try #require(CgroupTree.make())
        defer { tree.remove() }
        let greedy = try #require(tree.make("greedy", memoryBytesMax: 32 << 20))
        let modest = try #require(tree.make("modest", memoryBytesMax: 32 << 20))
        // tail keeps a line that never ends.
        let script = "head -c 200000000 /dev/zero | tail -n 1; kill -9 $$"
        var (first, go): (ChildProcess, DescriptorBox?) = try start(script)
        var (second, stay): (ChildProcess, DescriptorBox?) = try start("exit 7")
        try greedy.add(first.pid)
        try modest.add(second.pid)
        go = nil
        #expect(try first.wait() != .exited(0))
        #expect(greedy.outOfMemoryKills >= 1)
        #expect(greedy.memoryBytesMax > 16 << 20)
        #expect(modest.outOfMemoryKills == 0)
        stay = nil
        #expect(try second.wait() == .exited(7))
        _ = (go, stay)
        greedy.remove()
        modest.remove()
    }

    @Test(.enabled(if: isPossible)) func killingAGroupKillsAllInIt() throws {
        let tree = try #require(CgroupTree.make())
        defer { tree.remove() }
        let group = try #require(tree.make("w1", memoryBytesMax: nil))
        var (child, go): (ChildProcess, DescriptorBox?) = try start("sleep 1000 & sleep 1000")
        try group.add(child.pid)
        go = nil
        _ = go
        group.kill()
        #expect(try child.wait() == .signalled(SIGKILL))
        group.remove()
    }

    @Test(.enabled(if: isPossible)) func removingTheTreeRemovesWhatIsAliveInIt() throws {
        let tree = try #require(CgroupTree.make())
        let group = try #require(tree.make("w1", memoryBytesMax: 1 << 30))
        let (child, go) = try start("sleep 1000")
        try group.add(child.pid)
        tree.remove()
        #expect(try child.wait() == .signalled(SIGKILL))
        #expect(!Files.exists(tree.folder))
        _ = go
    }

    @Test(.enabled(if: isPossible)) func groupsOfDeadEnginesAreRemovedAndThoseOfLivingOnesStay() throws {
        let tree = try #require(CgroupTree.make())
        defer { tree.remove() }
        let parent = Path.parent(tree.folder)
        // Process 1 lives, but did not start at that time.
        let stale = "\(parent)/zerrow-1-1"
        try Files.makeDirectory(stale)
        try Files.makeDirectory(stale + "/w1")
        let other = try #require(CgroupTree.name(of: getppid()).map { "\(parent)/\($0)" })
        try Files.makeDirectory(other)
        defer { _ = try? Files.removeDirectory(other) }
        _ = CgroupPlace.all().map(CgroupTree.sweep)
        #expect(!Files.exists(stale))
        #expect(Files.exists(other) && Files.exists(tree.folder))
    }

    @Test func aNameTellsAProcessFromLaterOnesOfItsNumber() throws {
        let name = try #require(CgroupTree.name(of: getpid()))
        #expect(name.hasPrefix("zerrow-\(getpid())-"))
        #expect(name == CgroupTree.name(of: getpid()))
        #expect(CgroupTree.name(of: 0x3fff_ffff) == nil)
    }

    /// The command of this build, which has the janitor's subcommand; nil when only the tests were built.
    static let executable: String? = Path.resolved("/proc/self/exe").flatMap { own in
        let candidates = [own, CommandLine.arguments[0]].map { Path.parent($0) + "/zerrow" }
        return candidates.first(where: Files.exists)
    }

    @Test(.enabled(if: isPossible && executable != nil)) func theJanitorRemovesTheGroupsOfAnEngineThatIsGone() throws {
        let tree = try #require(CgroupTree.make())
        let group = try #require(tree.make("w1", memoryBytesMax: 1 << 30))
        let janitor = try Janitor.start(executable: try #require(Self.executable), cgroups: tree)
        let (child, go) = try start("sleep 1000")
        try group.add(child.pid)
        // To the janitor the end of the pipe is the end of the engine, whichever way it came.
        janitor.dismiss()
        #expect(!Files.exists(tree.folder))
        #expect(try child.wait() == .signalled(SIGKILL))
        _ = go
    }
}
