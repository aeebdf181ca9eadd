import Glibc
import System
import Testing

private let page = Machine.pageBytes

@Suite struct DiskFileTests {
    /// A folder on a disk: where the tests were built.
    private let folder = Path.parent(CommandLine.arguments[0])

    @Test func anUnnamedFileIsOnTheDiskForItsOwnerAlone() throws {
        let file = try FileDescriptor.unnamed(in: folder)
        #expect(try file.status().mode == 0o600)
        #expect(try !file.isInMemory())
        try file.allocate(bytes: 64 * page)
        #expect(try file.status().bytes == 64 * page)
        #expect(try file.status().residentBytes >= 64 * page, "the room is taken")
        let isAllZero = try file.bytes(0..<64 * page).allSatisfy { $0 == 0 }
        #expect(isAllZero)
        #expect(Files.linkTarget("/proc/self/fd/\(file.raw)")?.hasSuffix("(deleted)") == true)
        // Readers get a descriptor that can only read.
        let reader = try file.reopenReadOnly()
        #expect(throws: SystemError.self) { try reader.allocate(bytes: 1) }
    }

    @Test func whatIsWrittenBackCanLeaveThePageCache() throws {
        // The cache's own pages may be as large as this, and leave it whole or not at all.
        let huge = Machine.hugePageBytes
        let file = try FileDescriptor.unnamed(in: folder)
        try file.allocate(bytes: 3 * huge)
        let content = [UInt8](repeating: 7, count: 3 * huge)
        try content.withUnsafeBytes { try file.writeAll($0, at: 0) }
        let mapping = try Mapping(file, count: 3 * huge)
        #expect(try mapping.residentRanges(in: 0..<3 * huge) == [0..<3 * huge])
        try file.beginWriteback(0..<huge)
        try file.finishWriteback(0..<huge)
        try file.dropCache(0..<huge)
        try file.synchronize()
        try file.dropCache(2 * huge..<3 * huge)
        #expect(try mapping.residentRanges(in: 0..<3 * huge) == [huge..<2 * huge])
        #expect(try mapping.residentRanges(in: huge + page..<3 * huge) == [huge + page..<2 * huge])
        try file.readAhead(0..<huge)
        let isTheSame = try file.bytes(0..<3 * huge) == content
        #expect(isTheSame)
    }

    @Test func aMemoryFileSaysThatItIsInMemory() throws {
        let file = try FileDescriptor.memory(named: "m", bytes: 16 * page, sealable: false)
        #expect(try file.isInMemory())
        try [1].withUnsafeBytes { (byte: UnsafeRawBufferPointer) in
            try file.writeAll(byte, at: 3 * page)
            try file.writeAll(byte, at: 4 * page)
            try file.writeAll(byte, at: 9 * page)
        }
        let mapping = try Mapping(file, count: 16 * page)
        #expect(try mapping.residentRanges(in: 0..<16 * page) == [3 * page..<5 * page, 9 * page..<10 * page])
    }

    @Test func aFolderThatIsMissingOrFullIsSaid() throws {
        let missing = #expect(throws: SystemError.self) { _ = try FileDescriptor.unnamed(in: folder + "/nowhere").raw }
        #expect(missing?.errno == ENOENT)
        let file = try FileDescriptor.unnamed(in: folder)
        let full = #expect(throws: SystemError.self) {
            try FaultPlan(.allocate, errno: ENOSPC).apply { try file.allocate(bytes: 5) }
        }
        #expect(full?.description.hasSuffix("free room on that disk, or choose a folder on another") == true)
        // No disk has so much, and what was taken of it is given back with the file.
        #expect(throws: SystemError.self) { try file.allocate(bytes: 1 << 60) }
    }

    // MARK: File systems that have no files without a name

    /// A folder of one test's own.
    private func own(_ name: String = #function) throws -> String {
        let path = "\(folder)/pending-\(getpid())-\(name.prefix { $0.isLetter })"
        try Files.makeDirectory(path)
        return path
    }

    @Test(arguments: [EOPNOTSUPP, EISDIR, EINVAL]) func whereFilesMustHaveANameItIsGoneAtOnce(code: Int32) throws {
        let folder = try own("gone\(code == EISDIR ? "a" : code == EINVAL ? "b" : "c")")
        defer { rmdir(folder) }
        let plan = FaultPlan(.makeUnnamed, errno: code)
        let box = try plan.apply { () throws(SystemError) in DescriptorBox(try FileDescriptor.unnamed(in: folder)) }
        #expect(plan.fired.count == 1)
        #expect(try Files.list(folder) == [] && box.descriptor.status().mode == 0o600)
        try box.descriptor.allocate(bytes: page)
        #expect(try box.descriptor.bytes(0..<page).count == page)
    }

    @Test func aPendingFileHasItsNameWhenItIsWholeOrNone() throws {
        let folder = try own()
        defer { rmdir(folder) }
        for plan in [FaultPlan(), FaultPlan(.makeUnnamed, errno: EOPNOTSUPP)] {
            var pending: PendingFile? = try plan.apply { () throws(SystemError) in try PendingFile(in: Folder(folder)) }
            #expect(try !Files.list(folder).contains("a"))
            try pending?.file.descriptor.allocate(bytes: 3)
            try pending?.link(as: "a")
            #expect(try Files.list(folder) == ["a"])
            pending = nil
            #expect(try Files.list(folder) == ["a"])
            unlink(folder + "/a")
            // One that fails before leaves nothing.
            pending = try FaultPlan(.makeUnnamed, errno: EOPNOTSUPP).apply { () throws(SystemError) in
                try PendingFile(in: Folder(folder))
            }
            #expect(throws: SystemError.self) {
                try FaultPlan(.rename, errno: EIO).apply { try pending?.link(as: "a") }
            }
            pending = nil
            #expect(try Files.list(folder) == [])
        }
    }

    @Test func aFileTakesTheNameOfAnotherWhenItIsWhole() throws {
        let folder = try own()
        defer { rmdir(folder) }
        for plan in [FaultPlan(), FaultPlan(.makeUnnamed, errno: EOPNOTSUPP)] {
            // In place of nothing, of a file, of a link to one that must not be written to, and of a FIFO that nobody reads.
            try Files.write(folder + "/precious", "precious")
            let makers: [(String) -> Int32] = [
                { _ in 0 }, { creat($0, 0o600) }, { symlink("precious", $0) }, { mkfifo($0, 0o600) },
            ]
            for make in makers {
                #expect(make(folder + "/a") >= 0)
                let pending = try plan.apply { () throws(SystemError) in
                    try PendingFile(in: Folder(folder), mode: 0o644)
                }
                try Array("new".utf8).withUnsafeBytes { try pending.file.descriptor.writeAll($0) }
                try pending.replace(as: "a")
                #expect(try Files.list(folder) == ["a", "precious"])
                #expect(try Folder(folder).status(of: "a")?.isOwnFile == true)
                #expect(try Files.read(folder + "/a", bytesMax: 10) == Array("new".utf8))
                #expect(try Files.read(folder + "/precious", bytesMax: 10) == Array("precious".utf8))
                unlink(folder + "/a")
            }
            unlink(folder + "/precious")
            // A folder is nothing that a file can replace, and nothing else is left.
            mkdir(folder + "/a", 0o700)
            let pending = try plan.apply { () throws(SystemError) in try PendingFile(in: Folder(folder)) }
            #expect(throws: SystemError.self) { try pending.replace(as: "a") }
            rmdir(folder + "/a")
        }
        #expect(try Files.list(folder) == [])
    }

    @Test func whatAKilledProcessLeftGoesWithTheNextFileAndWhatLivesStays() throws {
        let folder = try own()
        defer { rmdir(folder) }
        let living = try FaultPlan(.makeUnnamed, errno: EOPNOTSUPP).apply { () throws(SystemError) in
            try PendingFile(in: Folder(folder))
        }
        func makeAnother() throws {
            _ = try FaultPlan(.makeUnnamed, errno: EOPNOTSUPP).apply { () throws(SystemError) in
                try PendingFile(in: Folder(folder))
            }
        }
        let name = try #require(try Files.list(folder).first)
        // A process that holds one as an engine does, and is killed.
        let abandoned = folder + "/.zerrow-1"
        let child = try ChildProcess(
            ["/bin/sh", "-c", "exec 9<>'\(abandoned)'; flock 9; echo > '\(folder)/ready'; exec sleep 1000"],
            environment: ["PATH": "/usr/bin:/bin"], folder: ".", output: .null, errors: .null)
        while !Files.exists(folder + "/ready") { usleep(1000) }
        try Files.remove(folder + "/ready")
        try makeAnother()
        #expect(try Files.list(folder) == [".zerrow-1", name].sorted(), "both are in use")
        child.signal(SIGKILL)
        _ = try child.wait()
        try makeAnother()
        #expect(try Files.list(folder) == [name])
        try living.link(as: "a")
        try Files.remove(folder + "/a")
    }
}
