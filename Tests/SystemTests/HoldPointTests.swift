import Glibc
import Synchronization
import Testing

@testable import System

@Suite struct HoldPointTests {
    @Test func oneThreadIsHeldUntilItsFileIsGone() throws {
        let folder = "/tmp/zerrow-hold-\(getpid())"
        try Files.makeDirectory(folder)
        defer { rmdir(folder) }
        // Nothing is held where there is no file.
        HoldPoint.export.wait(in: folder)
        try Files.write("\(folder)/export", "")
        let passed = Monitor(0)
        for _ in 0..<3 {
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Passing(passed, folder))
            pthread_create(
                &thread, nil,
                { raw in
                    Unmanaged<Passing>.fromOpaque(raw!).takeRetainedValue().run()
                    return nil
                }, box.toOpaque())
            pthread_detach(thread)
        }
        passed.wait { $0 == 2 ? () : nil }
        #expect(Files.exists("\(folder)/export.held") && !Files.exists("\(folder)/export"))
        #expect(passed.withLock { $0 } == 2)
        try Files.remove("\(folder)/export.held")
        passed.wait { $0 == 3 ? () : nil }
    }

    private final class Passing: Sendable {
        private let passed: Monitor<Int>
        private let folder: String

        init(_ passed: Monitor<Int>, _ folder: String) {
            self.passed = passed
            self.folder = folder
        }

        func run() {
            HoldPoint.export.wait(in: folder)
            passed.withLock { $0 += 1 }
            passed.wake()
        }
    }
}
