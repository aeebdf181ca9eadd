import Glibc
import Sandbox
import Synchronization
import System
import Testing

@testable import Engine

/// The pool with real processes that speak the protocol: shells in a zygote's place.
@Suite struct ZygotePoolTests {
    private final class Users: ZygoteUsers {
        var ready: [Set<Int>] = []
        var failed: [String] = []
        var died: [String?] = []
        /// Processes in the place of workers.
        var workers: [ProcessDescriptor] = []

        func ready(_ zygote: ZygoteProcess, for runs: Set<Int>) { ready.append(runs) }
        func said(_ message: ZygoteMessage, of worker: String, by zygote: ZygoteProcess) -> String? { "of \(worker)" }
        func failed(_ zygote: ZygoteProcess, _ reason: String, for runs: Set<Int>) { failed.append(reason) }
        func killWorkers(of zygote: ZygoteProcess, for runs: Set<Int>) -> [ProcessDescriptor] { workers }
        func died(_ zygote: ZygoteProcess, for runs: Set<Int>, unless reason: String?) { died.append(reason) }
    }

    private static let ready = #"printf '{"op":"ready"}' >&3; "#

    /// A program in a zygote's place.
    private static func shell(_ program: String) -> ZygotePool.Spawn {
        { _, control, output in
            let spec = ZygoteSpec(
                arguments: ["/bin/sh", "-c", program], environment: ["PATH": "/usr/bin:/bin"], readPaths: [],
                hasNetwork: false, isSandboxed: false, tmpBytesMax: 1 << 20)
            return try Zygote.spawn(spec, control: control.descriptor, output: output.descriptor)
        }
    }

    private static func key(_ name: String = "default") -> ZygoteKey {
        ZygoteKey(
            environment: name, python: "/bin/sh", modules: [], hasNetwork: false, project: "/project", place: "")
    }

    private let background: BackgroundWork
    private let users = Users()

    init() throws { background = try BackgroundWork() }

    private func pool(deathSecondsMax: Double = 60, _ spawn: @escaping ZygotePool.Spawn) -> ZygotePool {
        let pool = ZygotePool(background, deathSecondsMax: deathSecondsMax, spawn: spawn)
        pool.users = users
        return pool
    }

    /// The engine's loop, until something has come about.
    private func turn(_ pool: ZygotePool, until isOver: () -> Bool) throws {
        while !isOver() {
            var watches = [Watch(background.reading.raw) { _ in background.finish() }]
            pool.watch(&watches)
            let ready = try Poll.wait(watches.map { ($0.raw, $0.events) }, timeoutMilliseconds: 50)
            for (watch, events) in zip(watches, ready) where events.rawValue != 0 { watch.handler(events) }
            pool.checkDeadlines(MonotonicClock.nanoseconds())
        }
    }

    private func isAlive(_ pid: pid_t) -> Bool { kill(pid, 0) == 0 }

    @Test func aZygoteIsStartedOnceForAllRunsThatNeedIt() throws {
        let pool = pool(Self.shell(Self.ready + "exec sleep 1000"))
        let zygote = try pool.zygote(for: Self.key(), run: 1)
        #expect(zygote.state == .spawning && pool.ready(Self.key()) == nil)
        #expect(try pool.zygote(for: Self.key(), run: 2) === zygote)
        try turn(pool) { !users.ready.isEmpty }
        #expect(users.ready == [[1, 2]] && pool.ready(Self.key()) === zygote)
        let pid = try #require(zygote.process?.pid)
        pool.shutDown()
        #expect(!isAlive(pid) && users.died == [nil])
    }

    @Test func aZygoteThatEndsIsToldOfWithWhatItSaid() throws {
        let pool = pool(Self.shell("echo 'no module named x'; exit 3"))
        _ = try pool.zygote(for: Self.key(), run: 1)
        try turn(pool) { !users.died.isEmpty }
        #expect(users.failed.count == 1)
        #expect(users.failed.first?.contains("it ended") == true && users.failed.first?.contains("no module") == true)
        #expect(pool[Self.key()] == nil, "the next run gets another one")
    }

    @Test func theEndOfAZygoteIsWaitedForInTheLoopAlone() throws {
        let sleeper = try ChildProcess(
            ["/bin/sleep", "1000"], environment: [:], folder: "/", output: .null, errors: .null)
        let pool = pool(Self.shell(Self.ready + "exec sleep 1000"))
        let zygote = try pool.zygote(for: Self.key(), run: 1)
        try turn(pool) { !users.ready.isEmpty }
        users.workers = [try ProcessDescriptor(process: sleeper.pid)]
        pool.fail(zygote, "it was ended")
        // Told at once, and the loop goes on while a worker is alive.
        #expect(users.failed.count == 1 && users.died.isEmpty)
        let pid = try #require(zygote.process?.pid)
        try turn(pool) { !isAlive(pid) }
        #expect(users.died.isEmpty)
        kill(sleeper.pid, SIGKILL)
        try turn(pool) { !users.died.isEmpty }
        #expect(users.died == [nil])
        _ = try sleeper.wait()
    }

    @Test func whatCannotBeKilledIsGivenUpAfterAWhile() throws {
        let sleeper = try ChildProcess(
            ["/bin/sleep", "1000"], environment: [:], folder: "/", output: .null, errors: .null)
        let pool = pool(deathSecondsMax: 0.2, Self.shell(Self.ready + "exec sleep 1000"))
        let zygote = try pool.zygote(for: Self.key(), run: 1)
        try turn(pool) { !users.ready.isEmpty }
        users.workers = [try ProcessDescriptor(process: sleeper.pid)]
        pool.fail(zygote, "it was ended")
        try turn(pool) { !users.died.isEmpty }
        #expect(users.died.first??.contains("1 processes") == true)
        kill(sleeper.pid, SIGKILL)
        _ = try sleeper.wait()
    }

    @Test func oneThatCannotBeStartedFailsItsRuns() throws {
        let pool = pool { _, _, _ in throw EngineError.zygote("the interpreter is gone") }
        _ = try pool.zygote(for: Self.key(), run: 1)
        try turn(pool) { !users.failed.isEmpty }
        #expect(users.failed == ["the interpreter is gone"] && pool[Self.key()] == nil)
    }

    @Test func oneThatIsEndedWhileItStartsIsKilledWhenItIsThere() throws {
        let mayStart = Monitor(false)
        let spawn = Self.shell(Self.ready + "exec sleep 1000")
        let pool = pool { key, control, output in
            mayStart.wait { $0 ? () : nil }
            return try spawn(key, control, output)
        }
        let zygote = try pool.zygote(for: Self.key(), run: 1)
        pool.endZygotes(ofOnly: 1)
        #expect(users.failed.count == 1 && zygote.state == .dead)
        mayStart.withLock { $0 = true }
        mayStart.wake()
        try turn(pool) { !users.died.isEmpty }
        let pid = try #require(zygote.process?.pid)
        #expect(!isAlive(pid) && users.ready.isEmpty)
    }

    @Test func thoseThatNoRunUsesAreEndedWhenThereAreTooMany() throws {
        let pool = pool(Self.shell(Self.ready + "exec sleep 1000"))
        for number in 0..<ZygotePool.countMax + 2 { _ = try pool.zygote(for: Self.key("e\(number)"), run: number) }
        try turn(pool) { users.ready.count == ZygotePool.countMax + 2 }
        pool.end(run: 0)
        pool.end(run: 1)
        try turn(pool) { users.died.count == 2 }
        #expect(pool[Self.key("e0")] == nil && pool[Self.key("e1")] == nil && pool[Self.key("e2")] != nil)
        pool.end(run: 2)
        #expect(pool[Self.key("e2")] != nil, "so many may stay")
        pool.shutDown()
    }
}
