import Glibc
import System
import Testing

@Suite struct FaultPlanTests {
    @Test func theNthCallFailsAndOnlyThat() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 4096, sealable: true)
        let plan = FaultPlan(.truncate, occurrence: 2, errno: ENOSPC)
        try plan.apply {
            try file.truncate(bytes: 1)
            let error = #expect(throws: SystemError.self) { try file.truncate(bytes: 2) }
            #expect(error?.errno == ENOSPC)
            #expect(error?.description.hasPrefix("ftruncate failed on descriptor \(file.raw): No space left") == true)
            try file.truncate(bytes: 3)
        }
        #expect(try file.status().bytes == 3)
        #expect(plan.fired == [Fault(.truncate, occurrence: 2, errno: ENOSPC)])
        #expect(plan.calls == [.truncate, .truncate, .truncate])
    }

    @Test func anInterruptedCallIsRepeated() throws {
        let file = try FileDescriptor.memory(named: "test", bytes: 4096, sealable: true)
        let plan = FaultPlan(.truncate, errno: EINTR)
        try plan.apply { try file.truncate(bytes: 7) }
        #expect(try file.status().bytes == 7)
        #expect(plan.calls.count == 2)
    }

    @Test func aPlanDoesNotReachOtherThreads() async throws {
        let file = DescriptorBox(try FileDescriptor.memory(named: "test", bytes: 4096, sealable: true))
        FaultPlan(.truncate, errno: EIO).apply {
            final class Outcome: @unchecked Sendable { var failed = true }
            let outcome = Outcome()
            // Safe: this thread waits for the other one before it looks.
            var thread = pthread_t()
            let box = Unmanaged.passRetained(Work { outcome.failed = (try? file.descriptor.truncate(bytes: 9)) == nil })
            pthread_create(
                &thread, nil,
                { argument in
                    guard let argument else { return nil }
                    Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                    return nil
                }, box.toOpaque())
            pthread_join(thread, nil)
            #expect(!outcome.failed)
            #expect(throws: SystemError.self) { try file.descriptor.truncate(bytes: 9) }
        }
    }

    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }
}
