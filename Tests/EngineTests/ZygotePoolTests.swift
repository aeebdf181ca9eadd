import Glibc
import Sandbox
import Synchronization
import System
import Testing

@testable import Engine

/// The pool with real processes that speak the protocol: shells in a zygote's place.
@Suite struct ZygotePoolTests {
    private final class User: ZygoteUser {
        let number: Int
        var ready = 0
        var heard: [String] = []
        var complaint: String?
        var failed: [String] = []
        var died: [String?] = []
        /// Processes in the place of workers.
        var workers: [ProcessDescriptor] = []

        init(_ number: Int) { self.number = number }

        func ready(_ zygote: ZygoteProcess) { ready += 1 }
        func said(_ message: ZygoteMessage, of worker: String, by zygote: ZygoteProcess) -> String? {
            heard.append("\(message.op) \(worker)")
            return complaint
        }
        func failed(_ zygote: ZygoteProcess, _ reason: String) { failed.append(reason) }
        func killWorkers(of zygote: ZygoteProcess) -> [ProcessDescriptor] { workers }
        func died(_ zygote: ZygoteProcess, unless reason: String?) { died.append(reason) }
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
    private let user = User(1)

    init() throws { background = try BackgroundWork() }

    private func pool(
        deathSecondsMax: Double = 60, idleSecondsMax: Double = 60, _ spawn: @escaping ZygotePool.Spawn
    ) -> ZygotePool {
        ZygotePool(background, deathSecondsMax: deathSecondsMax, idleSecondsMax: idleSecondsMax, spawn: spawn)
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
        let (other, over) = (User(0), User(2))
        let zygote = try pool.zygote(for: Self.key(), user)
        #expect(zygote.state == .spawning && pool.ready(Self.key()) == nil)
        for user in [user, other, over] { #expect(try pool.zygote(for: Self.key(), user) === zygote) }
        #expect(zygote.users.map(\.number) == [0, 1, 2])
        pool.end(over)
        try turn(pool) { user.ready > 0 }
        #expect([user.ready, other.ready, over.ready] == [1, 1, 0] && pool.ready(Self.key()) === zygote)
        let pid = try #require(zygote.process?.pid)
        pool.shutDown()
        #expect(!isAlive(pid) && user.died == [nil] && over.died.isEmpty)
    }

    @Test func anIdleZygoteOfAnEnvironmentThatModelsAskForIsEndedAndLetsItGo() throws {
        let folder = "/tmp/zerrow-environments-\(UInt64.random(in: 0...UInt64.max))"
        let id = String(repeating: "b", count: 32)
        let cache = try EnvironmentCache(folder: folder)
        defer { try? FolderTree.remove(folder) }
        try Files.makeDirectory(cache.path(id))
        let pool = pool(idleSecondsMax: 0.2, Self.shell(Self.ready + "exec sleep 1000"))
        let pid = try {
            let zygote = try pool.zygote(for: Self.key(), keeping: try #require(try cache.hold(id)), user)
            try turn(pool) { user.ready > 0 }
            usleep(400_000)
            pool.checkDeadlines(MonotonicClock.nanoseconds())
            #expect(zygote.state == .ready, "a run uses it")
            return try #require(zygote.process?.pid)
        }()
        #expect(try cache.lockAlone(id) == nil)
        pool.end(user)
        try turn(pool) { !isAlive(pid) }
        #expect(pool[Self.key()] == nil)
        try turn(pool) { (try? cache.lockAlone(id)) != nil }
        pool.shutDown()
    }

    @Test func aZygoteThatEndsIsToldOfWithWhatItSaid() throws {
        let pool = pool(Self.shell("echo 'no module named x'; exit 3"))
        _ = try pool.zygote(for: Self.key(), user)
        try turn(pool) { !user.died.isEmpty }
        #expect(user.failed.count == 1)
        #expect(user.failed.first?.contains("it ended") == true && user.failed.first?.contains("no module") == true)
        #expect(pool[Self.key()] == nil, "the next run gets another one")
    }

    @Test func theEndOfAZygoteIsWaitedForInTheLoopAlone() throws {
        let sleeper = try ChildProcess(
            ["/bin/sleep", "1000"], environment: [:], folder: "/", output: .null, errors: .null)
        let pool = pool(Self.shell(Self.ready + "exec sleep 1000"))
        let zygote = try pool.zygote(for: Self.key(), user)
        try turn(pool) { user.ready > 0 }
        user.workers = [try ProcessDescriptor(process: sleeper.pid)]
        pool.fail(zygote, "it was ended")
        // Told at once, and the loop goes on while a worker is alive.
        #expect(user.failed.count == 1 && user.died.isEmpty)
        let pid = try #require(zygote.process?.pid)
        try turn(pool) { !isAlive(pid) }
        #expect(user.died.isEmpty)
        kill(sleeper.pid, SIGKILL)
        try turn(pool) { !user.died.isEmpty }
        #expect(user.died == [nil])
        _ = try sleeper.wait()
    }

    @Test func whatCannotBeKilledIsGivenUpAfterAWhile() throws {
        let sleeper = try ChildProcess(
            ["/bin/sleep", "1000"], environment: [:], folder: "/", output: .null, errors: .null)
        let pool = pool(deathSecondsMax: 0.2, Self.shell(Self.ready + "exec sleep 1000"))
        let zygote = try pool.zygote(for: Self.key(), user)
        try turn(pool) { user.ready > 0 }
        user.workers = [try ProcessDescriptor(process: sleeper.pid)]
        pool.fail(zygote, "it was ended")
        try turn(pool) { !user.died.isEmpty }
        #expect(user.died.first??.contains("1 processes") == true)
        kill(sleeper.pid, SIGKILL)
        _ = try sleeper.wait()
    }

    @Test func oneThatCannotBeStartedFailsItsRuns() throws {
        let pool = pool { _, _, _ in throw EngineError.zygote("the interpreter is gone") }
        _ = try pool.zygote(for: Self.key(), user)
        try turn(pool) { !user.failed.isEmpty }
        #expect(user.failed == ["the interpreter is gone"] && pool[Self.key()] == nil)
    }

    @Test func oneThatIsEndedWhileItStartsIsKilledWhenItIsThere() throws {
        let mayStart = Monitor(false)
        let spawn = Self.shell(Self.ready + "exec sleep 1000")
        let pool = pool { key, control, output in
            mayStart.wait { $0 ? () : nil }
            return try spawn(key, control, output)
        }
        let zygote = try pool.zygote(for: Self.key(), user)
        pool.endZygotes(ofOnly: user)
        #expect(user.failed.count == 1 && zygote.state == .dead)
        mayStart.withLock { $0 = true }
        mayStart.wake()
        try turn(pool) { !user.died.isEmpty }
        let pid = try #require(zygote.process?.pid)
        #expect(!isAlive(pid) && user.ready == 0)
    }

    @Test func thoseThatNoRunUsesAreEndedWhenThereAreTooMany() throws {
        let pool = pool(Self.shell(Self.ready + "exec sleep 1000"))
        let users = (0..<ZygotePool.countMax + 2).map { User($0) }
        for user in users { _ = try pool.zygote(for: Self.key("e\(user.number)"), user) }
        try turn(pool) { users.allSatisfy { $0.ready == 1 } }
        let zygotes = users.prefix(2).compactMap { pool[Self.key("e\($0.number)")]?.process?.pid }
        pool.end(users[0])
        pool.end(users[1])
        try turn(pool) { !zygotes.contains { isAlive($0) } }
        #expect(zygotes.count == 2 && users[0].died.isEmpty, "a run that is over is told of nothing")
        #expect(pool[Self.key("e0")] == nil && pool[Self.key("e1")] == nil && pool[Self.key("e2")] != nil)
        pool.end(users[2])
        #expect(pool[Self.key("e2")] != nil, "so many may stay")
        pool.shutDown()
    }

    @Test func whatIsSaidOfAWorkerGoesToTheRunsInTheirOrderUntilOneComplains() throws {
        let exited = #"printf '{"op":"exited","worker":"w1"}' >&3; "#
        let pool = pool(Self.shell(Self.ready + "sleep 0.1; " + exited + "exec sleep 1000"))
        let users = [User(1), User(2), User(3)]
        users[1].complaint = "it lies"
        for user in users.reversed() { _ = try pool.zygote(for: Self.key(), user) }
        try turn(pool) { !users[0].died.isEmpty }
        #expect(users.map(\.heard) == [["exited w1"], ["exited w1"], []])
        #expect(users.allSatisfy { $0.failed.count == 1 && $0.failed[0].contains("it lies") })
    }
}
