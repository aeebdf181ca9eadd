import Glibc
import System
import Testing

@testable import Store

private let huge = Machine.hugePageBytes

/// What a reader may try with the descriptor it gets, in a process of its own, as the user that the lock is made for.
@Suite struct AttackTests {
    /// Every way to change a file through a descriptor, and the name of those that worked.
    private static func attacks(on file: DescriptorBox) -> [String] {
        let raw = file.raw
        var worked: [String] = []
        func attempt(_ name: String, _ result: Int) { if result >= 0 { worked.append(name) } }
        func reopened(_ flags: Int32) -> Int32 { open("/proc/self/fd/\(raw)", flags) }
        var byte: UInt8 = 0x66

        attempt("pwrite", pwrite(raw, &byte, 1, 200))
        attempt("ftruncate", Int(ftruncate(raw, 0)))
        attempt("growing", Int(ftruncate(raw, 1 << 30)))
        if (try? file.descriptor.punchHole(0..<4096)) != nil { worked.append("punching a hole") }
        if (try? file.descriptor.reserve(0..<4096)) != nil { worked.append("fallocate") }
        if (try? file.descriptor.addSeals(.seal)) != nil { worked.append("adding a seal") }
        if (try? Mapping(file.descriptor, count: 4096, access: .readWrite)) != nil { worked.append("mapping") }
        if let mapping = try? Mapping(file.descriptor, count: 4096) {
            attempt("mprotect", Int(mprotect(mapping.base, 4096, PROT_READ | PROT_WRITE)))
            attempt("MADV_REMOVE", Int(madvise(mapping.base, 4096, MADV_REMOVE)))
        } else {
            worked.append("no reading either, so this shows nothing")
        }
        for (name, flags) in [("O_RDWR", O_RDWR), ("O_WRONLY", O_WRONLY), ("O_TRUNC", O_RDONLY | O_TRUNC)] {
            let again = reopened(flags)
            if again < 0 { continue }
            defer { close(again) }
            attempt("pwrite after \(name)", pwrite(again, &byte, 1, 200))
            attempt("ftruncate after \(name)", Int(ftruncate(again, 0)))
            if mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) != MAP_FAILED {
                worked.append("mapping after \(name)")
            }
        }
        return worked
    }

    /// Gives `/proc/self` to the user this process has become. prctl is variadic, which the importer does not take; its
    /// arguments are passed as a fixed list's are.
    private static func makeDumpable() -> Bool {
        typealias Prctl = @convention(c) (CInt, CUnsignedLong, CUnsignedLong, CUnsignedLong, CUnsignedLong) -> CInt
        guard let symbol = dlsym(nil, "prctl") else { return false }
        let setDumpable: CInt = 4
        return unsafeBitCast(symbol, to: Prctl.self)(setDumpable, 1, 0, 0, 0) == 0 && access("/proc/self/fd", R_OK) == 0
    }

    /// A published table with a secret round it, the descriptor a reader gets, and what the reader must see.
    private static func publish(_ lock: Lock) throws -> (store: SegmentStore, file: DescriptorBox, expected: [UInt8]) {
        let store = SegmentStore(lock: lock, poolBytesMax: 0)
        var producer = try Producer(store, "w1", bytes: 2 * huge)
        try producer.write(0..<2 * huge, 0x53)
        let named = [128..<9000, huge + 64..<2 * huge - 300_000]
        for range in named { try producer.write(range, 0x11) }
        let table = try store.publish(by: "w1", descriptor: anyDescriptor(), references: producer.references(named))
        try store.end("w1")
        return (store, store.lend(table, to: "w2").segments[0].file, masked(producer.content, named))
    }

    @Test func aSealedSegmentCannotBeChangedByTheSameUserNorByRoot() async {
        await #expect(processExitsWith: .success) {
            guard let (store, file, expected) = try? Self.publish(.sealed) else {
                Issue.record("publishing failed")
                return
            }
            #expect(Self.attacks(on: file) == [])
            #expect(fchmod(file.raw, 0o777) == 0 || geteuid() != 0)
            #expect(Self.attacks(on: file) == [], "after opening up the permissions")
            let isIntact = (try? visible(file, bytes: 2 * huge)).map { same($0, expected) }
            #expect(isIntact == true)
            withExtendedLifetime(store) {}
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func aReadOnlyDescriptorCannotBeTurnedIntoAWritableOneByAnotherUser() async {
        await #expect(processExitsWith: .success) {
            guard let (store, file, expected) = try? Self.publish(.readOnlyDescriptor) else {
                Issue.record("publishing failed")
                return
            }
            #expect(setgid(65534) == 0 && setuid(65534) == 0)
            // Otherwise /proc/self belongs to root, and would refuse for that reason already.
            #expect(Self.makeDumpable())
            #expect(Self.attacks(on: file) == [])
            #expect(fchmod(file.raw, 0o666) < 0 && fchown(file.raw, 65534, 65534) < 0)
            let isIntact = (try? visible(file, bytes: 2 * huge)).map { same($0, expected) }
            #expect(isIntact == true)
            withExtendedLifetime(store) {}
        }
    }

    @Test(.enabled(if: geteuid() == 0, "only root can become another user"))
    func aSpilledTableCannotBeChangedByAnotherUser() async {
        await #expect(processExitsWith: .success) {
            let store = SegmentStore(lock: .readOnlyDescriptor, poolBytesMax: 0)
            guard let table = try? store.publishColumns([0..<huge], bytes: huge, by: "w1"),
                let before = try? store.stream(of: table), let folder = try? diskFolder(),
                let work = try? store.beginSpill(table, to: folder), (try? work.run()) != nil,
                case .moved = store.finish(work)
            else {
                Issue.record("spilling failed")
                return
            }
            let file = store.lend(table, to: "w2").segments[0].file
            #expect(setgid(65534) == 0 && setuid(65534) == 0)
            #expect(Self.makeDumpable())
            #expect(Self.attacks(on: file) == [])
            #expect(fchmod(file.raw, 0o666) < 0 && fchown(file.raw, 65534, 65534) < 0)
            let isIntact = (try? store.stream(of: table)).map { same($0, before) }
            #expect(isIntact == true)
        }
    }

    @Test func theAttacksWorkOnAFileThatIsNotLocked() throws {
        let file = DescriptorBox(try FileDescriptor.memory(named: "open", bytes: 2 * huge, sealable: true))
        let worked = Self.attacks(on: file)
        for name in [
            "pwrite", "ftruncate", "growing", "punching a hole", "fallocate", "adding a seal", "mapping",
            "MADV_REMOVE", "mprotect", "pwrite after O_RDWR", "mapping after O_RDWR", "pwrite after O_WRONLY",
        ] {
            #expect(worked.contains(name))
        }
    }

    @Test(arguments: everyLock) func aSecretBesideTheBuffersIsNowhereInTheFile(lock: Lock) throws {
        let (store, file, expected) = try Self.publish(lock)
        let seen = try visible(file, bytes: 2 * huge)
        let isFound = seen.withUnsafeBytes { memchr($0.baseAddress!, 0x53, $0.count) != nil }
        let isIntact = same(seen, expected)
        #expect(!isFound && isIntact)
        withExtendedLifetime(store) {}
    }
}
