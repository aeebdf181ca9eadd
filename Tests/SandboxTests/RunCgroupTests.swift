import Glibc
import System
import Testing

@testable import Sandbox

extension CgroupTests {
    /// Groups of runs and their workers. Within the other suite: a process has one tree at a time.
    @Suite(.serialized) struct RunCgroupTests {
        private static let mib = UInt64(1 << 20)

        /// Writes so many MiB to a memory file from within a group, and ends: the pages stay charged to the group.
        private func fill(_ file: DescriptorBox, mebibytes: Int, in group: WorkerCgroup) throws -> ChildProcess.Ending {
            let name = group.memory.path.split(separator: "/").suffix(2).joined(separator: "/")
            let script = """
                while ! grep -q '\(name)$' /proc/self/cgroup; do sleep 0.01; done
                exec head -c \(mebibytes << 20) /dev/urandom >&3
                """
            let child = try ChildProcess(
                ["sh", "-c", script], environment: ["PATH": "/usr/bin:/bin"], folder: "/", output: .null, errors: .null,
                inherited: [file.raw])
            try group.add(child.pid)
            return try child.wait()
        }

        private func memoryFile() throws -> DescriptorBox {
            DescriptorBox(try FileDescriptor.memory(named: "segment", bytes: 0, sealable: true))
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func whatAWorkerTouchedFirstCountsInItsRunAndInTheEngine() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: 1 << 30))
            let other = try #require(tree.makeRun("run-2", memoryBytesMax: nil))
            let worker = try #require(run.makeWorker("w1", memoryBytesMax: 1 << 29))
            let file = try memoryFile()
            #expect(try fill(file, mebibytes: 24, in: worker) == .exited(0))
            for memory in [worker.memory, run.memory, tree.memory] {
                let figures = memory.figures()
                #expect(figures.sharedBytes == 24 * Self.mib && figures.bytes >= 24 * Self.mib, "\(memory.path)")
                #expect(memory.bytesPeak >= 24 * Self.mib)
            }
            #expect(other.memory.bytes < Self.mib)
            // The group goes, the charge stays with those above it until the file goes.
            worker.remove()
            #expect(run.memory.bytes >= 24 * Self.mib && tree.memory.bytes >= 24 * Self.mib)
            try file.descriptor.truncate(bytes: 0)
            #expect(run.memory.figures().sharedBytes == 0)
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func theRunsLimitHoldsForItsWorkersTogether() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: 48 << 20))
            let workers = try (1...2).map { try #require(run.makeWorker("w\($0)", memoryBytesMax: 1 << 30)) }
            let files = [try memoryFile(), try memoryFile()]
            #expect(try fill(files[0], mebibytes: 32, in: workers[0]) == .exited(0))
            if try fill(files[1], mebibytes: 32, in: workers[1]) == .signalled(SIGKILL) {
                #expect(workers[1].outOfMemoryKills >= 1 && workers[0].outOfMemoryKills == 0)
            } else {
                // There is swap, which is a way out for a run.
                #expect(run.memory.figures().swappedBytes >= 14 << 20)
            }
            #expect(run.memory.bytesPeak <= 48 << 20)
            // With more room the next one lives.
            #expect(run.setMemoryMax(128 << 20))
            try files[1].descriptor.truncate(bytes: 0)
            let third = try #require(run.makeWorker("w3", memoryBytesMax: 1 << 30))
            #expect(try fill(files[1], mebibytes: 32, in: third) == .exited(0))
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func limitsChangeBothWaysWhileAGroupLives() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            #expect(tree.setMemoryMax(1 << 31))
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: 64 << 20))
            let worker = try #require(run.makeWorker("w1", memoryBytesMax: 64 << 20))
            for bytes: UInt64? in [32 << 20, 256 << 20, 16 << 20, nil, 64 << 20] {
                #expect(worker.setMemoryMax(bytes) && run.setMemoryMax(bytes))
            }
            let file = try memoryFile()
            #expect(run.setMemoryMax(nil))
            #expect(try fill(file, mebibytes: 80, in: worker) == .signalled(SIGKILL))
            #expect(worker.outOfMemoryKills >= 1)
            #expect(tree.setMemoryMax(nil))
        }

        @Test(.enabled(if: CgroupTests.isPossible && SwapFile.isPossible, "needs root and swapon"))
        func droppingTheLimitOfADeadWorkerMovesItsSegmentToSwap() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let swap = try SwapFile(bytes: 128 << 20)
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: 1 << 30))
            let worker = try #require(run.makeWorker("w1", memoryBytesMax: 64 << 20))
            let file = try memoryFile()
            #expect(try fill(file, mebibytes: 32, in: worker) == .exited(0))
            let before = try file.descriptor.bytes(0..<32 << 20)
            let pushed = worker.dropLimit(to: 4 << 20)
            #expect(pushed >= 27 << 20)
            #expect(worker.memory.bytes <= 5 << 20 && run.memory.bytes <= 6 << 20)
            #expect(worker.memory.figures().swappedBytes >= 27 << 20)
            let mapping = try Mapping(file.descriptor, count: 32 << 20)
            #expect(try mapping.residentRanges(in: 0..<32 << 20).reduce(0) { $0 + $1.count } <= 5 << 20)
            let isTheSame = try file.descriptor.bytes(0..<32 << 20) == before
            #expect(isTheSame, "it comes back, and the limit is as it was")
            withExtendedLifetime(swap) {}
        }

        @Test(.enabled(if: CgroupTests.isPossible && SwapFile.isPossible, "needs root and swapon"))
        func lettingGoOfWhatIsOnSwapFreesAsMuchRAM() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let swap = try SwapFile(bytes: 128 << 20)
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: 1 << 30))
            let worker = try #require(run.makeWorker("w1", memoryBytesMax: 64 << 20))
            let file = try memoryFile()
            #expect(try fill(file, mebibytes: 32, in: worker) == .exited(0))
            let mapping = try Mapping(file.descriptor, count: 32 << 20)
            let first = 0..<16 << 20
            worker.allowSwap()
            try mapping.advise(.populateRead, first)
            try mapping.advise(.pageOut, first)
            let swapped = try mapping.swappedBytes()
            #expect(swapped >= 15 << 20)
            let freed = worker.memory.releaseSwapped(UInt64(swapped))
            #expect(freed >= 14 << 20)
            // Which of the group's pages go is up to the kernel; how many is not.
            let residentBytes = try mapping.residentRanges(in: 0..<32 << 20).reduce(0) { $0 + $1.count }
            #expect(residentBytes <= 18 << 20 && residentBytes >= 12 << 20)
            withExtendedLifetime(swap) {}
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func withoutSwapNothingIsMovedAndNothingIsLost() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let worker = try #require(
                tree.makeRun("r", memoryBytesMax: nil)?.makeWorker("w1", memoryBytesMax: 64 << 20))
            let file = try memoryFile()
            #expect(try fill(file, mebibytes: 32, in: worker) == .exited(0))
            let before = try file.descriptor.bytes(0..<32 << 20)
            worker.dropLimit(to: 0)
            if try Machine.memory().swapBytesTotal == 0 { #expect(worker.memory.figures().sharedBytes == 32 << 20) }
            #expect(worker.outOfMemoryKills == 0)
            let isTheSame = try file.descriptor.bytes(0..<32 << 20) == before
            #expect(isTheSame)
            #expect(worker.setMemoryMax(128 << 20))
        }

        /// A shell that waits until it is told to go; then it starts so many that compute, each in a session of its own.
        private func spin(_ count: Int, in group: WorkerCgroup) throws -> (ChildProcess, DescriptorBox) {
            let (reading, writing) = try DescriptorBox.pipe()
            let script = """
                read go <&3; exec 3<&-
                for n in $(seq \(count)); do setsid sh -c 'while :; do :; done' & done; wait
                """
            let child = try ChildProcess(
                ["sh", "-c", script], environment: ["PATH": "/usr/bin:/bin"], folder: "/", output: .null, errors: .null,
                inherited: [reading.raw])
            try group.add(child.pid)
            return (child, writing)
        }

        @Test(.enabled(if: CgroupTests.isPossible && CgroupTests.sharesProcessor, "needs the cpu controller"))
        func aRunWithManyProcessesGetsNoMoreThanOneWithFew() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let runs = try ["few", "many"].map { try #require(tree.makeRun($0, memoryBytesMax: nil)) }
            let workers = try runs.map { try #require($0.makeWorker("w", memoryBytesMax: nil)) }
            let processors = Machine.processorCount()
            var few: (ChildProcess, DescriptorBox)? = try spin(processors, in: workers[0])
            var many: (ChildProcess, DescriptorBox)? = try spin(30 * processors, in: workers[1])
            let pids = [few!.0.pid, many!.0.pid]
            few?.1.descriptor.writeLine()
            many?.1.descriptor.writeLine()
            usleep(1_000_000)
            let before = pids.map { ProcessTree(of: $0).processorNanoseconds }
            usleep(4_000_000)
            let used = zip(pids, before).map { Double(ProcessTree(of: $0).processorNanoseconds) - Double($1) }
            // Without shares it is thirty times as much.
            #expect(used[1] < 3 * used[0] && used[0] > 0, "\(used)")
            workers.forEach { $0.kill() }
            _ = try (few?.0.wait(), many?.0.wait())
            (few, many) = (nil, nil)
        }

        @Test(.enabled(if: CgroupTests.isPossible && CgroupTests.boundsProcesses, "needs the pids controller"))
        func aRunsProcessesAreBoundedAndRefusalsAreCounted() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: nil))
            let worker = try #require(run.makeWorker("w1", memoryBytesMax: nil))
            let folder = try #require(
                ([worker.memory.path, run.memory.path] + run.others).first { Files.exists($0 + "/pids.max") })
            #expect(CgroupTree.lines(folder + "/pids.max").first.flatMap { Int($0) } ?? .max <= ProcessBounds.run)
            try Files.write(folder + "/pids.max", "5", create: false)
            let (child, go) = try spin(20, in: worker)
            go.descriptor.writeLine()
            #expect(try child.wait() != .exited(0))
            if folder != worker.memory.path { #expect(run.refusedProcesses > 0) }
            worker.kill()
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func groupsInAllHierarchiesGoWithTheTree() throws {
            let tree = try #require(CgroupTree.make())
            var run = tree.makeRun("run-1", memoryBytesMax: nil)
            let others = try #require(run?.others)
            #expect(others.allSatisfy(Files.exists))
            run = nil
            #expect(!others.contains(where: Files.exists))
            let folders = tree.folders
            tree.remove()
            #expect(!folders.contains(where: Files.exists))
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func foldersGoWithTheirOwnersAndWorkersBeforeTheirRun() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            var run = tree.makeRun("run-1", memoryBytesMax: nil)
            var worker = run?.makeWorker("w1", memoryBytesMax: 1 << 30)
            let (path, inner) = (try #require(run?.memory.path), try #require(worker?.memory.path))
            #expect(Files.exists(inner) && inner.hasPrefix(path + "/"))
            run = nil
            #expect(Files.exists(path), "a worker's group is still in it")
            worker = nil
            #expect(!Files.exists(path))
        }

        @Test(.enabled(if: CgroupTests.isPossible && CgroupTests.executable != nil))
        func theJanitorRemovesADeepTree() throws {
            let tree = try #require(CgroupTree.make())
            let run = try #require(tree.makeRun("run-1", memoryBytesMax: 1 << 30))
            let worker = try #require(run.makeWorker("w1", memoryBytesMax: 1 << 30))
            let janitor = try Janitor.start(executable: try #require(CgroupTests.executable), cgroups: tree)
            let child = try ChildProcess(
                ["sleep", "1000"], environment: ["PATH": "/usr/bin:/bin"], folder: "/", output: .null, errors: .null)
            try worker.add(child.pid)
            janitor.dismiss()
            #expect(!Files.exists(tree.folder))
            #expect(try child.wait() == .signalled(SIGKILL))
            withExtendedLifetime((run, worker)) {}
        }

        @Test(.enabled(if: CgroupTests.isPossible)) func aDeepTreeOfADeadEngineIsRemoved() throws {
            let tree = try #require(CgroupTree.make())
            defer { tree.remove() }
            let stale = "\(Path.parent(tree.folder))/zerrow-1-1"
            for folder in [stale, stale + "/run-1", stale + "/run-1/w1"] { try Files.makeDirectory(folder) }
            _ = CgroupPlace.all().map(CgroupTree.sweep)
            #expect(!Files.exists(stale))
        }
    }
}

extension FileDescriptor {
    /// Lets a shell go on that reads a line.
    fileprivate borrowing func writeLine() {
        [10].withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in try? writeAll(bytes) }
    }
}
