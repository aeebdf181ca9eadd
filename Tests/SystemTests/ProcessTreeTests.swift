import Glibc
import Testing

@testable import System

@Suite struct ProcessTreeTests {
    private func start(_ script: String) throws -> ChildProcess {
        try ChildProcess(
            ["sh", "-c", script], environment: ["PATH": "/usr/bin:/bin"], folder: "/", output: .null, errors: .null)
    }

    @Test func itHasAllThatDescendsFromAProcessWhateverTheirSession() throws {
        let child = try start("for n in 1 2 3; do setsid sh -c 'sleep 100' & done; wait")
        defer {
            for thread in ProcessTree(of: child.pid).threads.reversed() { kill(thread.id, SIGKILL) }
            _ = try? child.wait()
        }
        var count = 0
        for _ in 0..<500 where count < 4 {
            count = ProcessTree(of: child.pid).threads.count
            usleep(10_000)
        }
        #expect(count >= 4)
    }

    @Test func timeOfThoseThatWereWaitedForCounts() throws {
        let child = try start("sh -c 'n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done'; exec sleep 100")
        defer {
            kill(child.pid, SIGKILL)
            _ = try? child.wait()
        }
        var used: UInt64 = 0
        for _ in 0..<3000 where used < 30_000_000 {
            used = ProcessTree(of: child.pid).processorNanoseconds
            usleep(10_000)
        }
        #expect(used >= 30_000_000)
    }

    @Test func aProcessThatIsGoneIsEmpty() throws {
        let child = try start("exit 0")
        _ = try child.wait()
        let tree = ProcessTree(of: child.pid)
        #expect(tree.threads.isEmpty && tree.processorNanoseconds == 0)
    }

    @Test func manyThreadsGiveWayUntilTheyWeighAsMuchAsAllProcessors() {
        #expect(Nice.value(runningThreads: 0, processors: 2) == Nice.worker)
        #expect(Nice.value(runningThreads: 4, processors: 2) == Nice.worker)
        #expect(Nice.value(runningThreads: 8, processors: 2) == Nice.worker + 4)
        #expect(Nice.value(runningThreads: 1_000_000, processors: 2) == Nice.most)
    }
}
