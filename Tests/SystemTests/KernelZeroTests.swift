import Glibc
import Testing

@testable import System

private typealias Info = KernelZero.Info

@Suite struct KernelZeroTests {
    @Test func aDeviceThatIsNotThereIsAbsentAndAnotherDeviceUnusable() {
        guard case .absent = KernelZero.find(path: "/dev/no-such-device") else {
            Issue.record("found a device that is not there")
            return
        }
        guard case .unusable(let reason) = KernelZero.find(path: "/dev/null") else {
            Issue.record("took /dev/null for KernelZero")
            return
        }
        #expect(reason.contains("ioctl(KERNELZERO_INFO) failed"))
    }

    @Test func aModuleOfAnotherVersionIsNamedWithAWayOut() throws {
        var info = Info(abi: Info.abiExpected, features: 0, rangesMax: 1, bytesMax: 1, version: "0.1.0")
        #expect(info.mismatch == nil)
        info.abi += 1
        let reason = try #require(info.mismatch)
        #expect(reason.contains("KernelZero 0.1.0 speaks version \(info.abi)") && reason.contains("make -C kernel"))
        info.abi = Info.abiExpected
        info.features = 4
        #expect(info.mismatch?.contains("debug build") == true)
    }

    @Test func anInfoCallThatFailsIsUnusable() {
        FaultPlan(.kernelZeroInfo, errno: EACCES).apply {
            guard case .unusable(let reason) = KernelZero.find(path: "/dev/null") else {
                Issue.record("a module that can't be asked is used")
                return
            }
            #expect(reason.contains("Permission denied"))
        }
    }

    /// The machine's own module, where it is loaded: in the kernel tests' virtual machine.
    @Test func theModuleOfThisMachineMovesMemory() throws {
        guard case .present(let module) = KernelZero.find() else { return }
        let bytes = 64 << 12
        let source = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        memset(source, 0xAB, bytes)
        let file = try FileDescriptor.memory(named: "test", bytes: 4096, sealable: true)
        let range = UnsafeRawBufferPointer(start: source + 100, count: bytes - 200)
        let done = Deanonymization([range], into: file, by: module)
        #expect(done.offsets == [4096 + 100])
        #expect(done.movedBytes == UInt64(62 << 12) && done.copiedBytes == UInt64(2 * (4096 - 100)))
        #expect(done.fileBytes == UInt64(4096 + bytes))
        #expect(try file.bytes(4096 + 99..<4096 + 101) == [0, 0xAB])
        munmap(source, bytes)
    }
}
