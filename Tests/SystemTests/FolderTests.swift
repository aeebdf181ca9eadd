import Glibc
import System
import Testing

@Suite struct FolderTests {
    /// A folder of one test's own, on a disk, and what takes it away.
    private func own(_ name: String = #function) throws -> Folder {
        let path = Path.parent(CommandLine.arguments[0]) + "/folder-\(getpid())-\(name.prefix { $0.isLetter })"
        try Files.makeDirectory(path)
        return try Folder(path)
    }

    private func remove(_ folder: Folder) {
        for name in (try? folder.names()) ?? [] {
            unlink(folder.kernelPath(name))
            rmdir(folder.kernelPath(name))
        }
        rmdir(folder.path)
    }

    /// What stands in the way of a file, by what the message says of it. None may be opened, or keep anybody waiting.
    @Test(arguments: [
        "FIFO", "symbolic link", "folder", "socket", "device", "2 names", "others may write to it", "a hole",
        "belongs to user",
    ])
    func whatIsNoFileOfOnesOwnIsRefusedAtOnce(kind: String) throws {
        let folder = try own("refused\(kind.filter(\.isLetter))")
        defer { remove(folder) }
        let path = folder.path + "/a"
        switch kind {
        case "FIFO": mkfifo(path, 0o600)
        case "symbolic link": symlink("/etc/passwd", path)
        case "folder": mkdir(path, 0o700)
        case "socket": _ = try LocalSocket(listeningAt: folder.kernelPath("a"))
        case "device":
            // As an ordinary user none can be made.
            guard mknod(path, S_IFCHR | 0o600, 0x103) == 0 else { return }
        default:
            let file = try folder.make("a")
            if kind == "2 names" { link(path, folder.path + "/b") }
            if kind == "others may write to it" { try file.changeMode(0o666) }
            if kind == "a hole" { try file.truncate(bytes: 1 << 40) }
            if kind == "belongs to user", fchown(file.raw, 65534, 65534) != 0 { return }
        }
        for flags in [O_RDONLY, O_RDWR] {
            let error = #expect(throws: UnfitEntry.self) { _ = try folder.openOwn("a", flags).raw }
            #expect(error?.isMissing == false && error?.description.contains(kind) == true, "\(error as Any)")
        }
        #expect(try folder.status(of: "a")?.isOwnFile == false)
    }

    @Test func aFileOfOnesOwnIsOpenedAndOneThatIsMissingIsSaidToBe() throws {
        let folder = try own()
        defer { remove(folder) }
        #expect(throws: UnfitEntry.self) { _ = try folder.openOwn("a").raw }
        let error = #expect(throws: UnfitEntry.self) { _ = try folder.openOwn("a").raw }
        #expect(error?.isMissing == true)
        _ = try folder.openOrMakeOwn("a").raw
        _ = try folder.openOrMakeOwn("a").raw
        #expect(try folder.openOwn("a").status().isOwnFile)
        // What leads nowhere is not made.
        symlink("nowhere", folder.path + "/b")
        #expect(throws: (any Error).self) { _ = try folder.openOrMakeOwn("b").raw }
        #expect(!Files.exists(folder.path + "/nowhere"))
    }

    @Test func itStaysTheSameFolderWhateverBecomesOfItsName() throws {
        let folder = try own()
        let moved = folder.path + "-moved"
        try Files.rename(folder.path, moved)
        try Files.makeDirectory(folder.path)
        _ = try folder.make("a").raw
        #expect(try Files.list(folder.path) == [] && Files.list(moved) == ["a"])
        try Files.removeDirectory(folder.path)
        try folder.remove("a")
        try Files.removeDirectory(moved)
    }

    @Test func whoElseCanWriteToItIsSaid() throws {
        let folder = try own()
        defer { remove(folder) }
        #expect(try folder.sharing() == nil)
        for mode: mode_t in [0o755, 0o700, 0o750] {
            chmod(folder.path, mode)
            #expect(try folder.sharing() == nil)
        }
        for mode: mode_t in [0o1777, 0o770, 0o702] {
            chmod(folder.path, mode)
            #expect(try folder.sharing()?.contains("others may write to it") == true)
        }
        chmod(folder.path, 0o700)
        if chown(folder.path, 65534, 65534) == 0 {
            #expect(try folder.sharing()?.contains("belongs to user 65534") == true)
        }
    }
}
