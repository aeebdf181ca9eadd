import Glibc
import System
import Testing

@Suite struct FolderTreeTests {
    private let folder: String

    init() throws {
        folder = "/tmp/zerrow-tree-\(UInt64.random(in: 0...UInt64.max))"
        for path in ["", "/tree", "/tree/a", "/tree/a/b"] { try Files.makeDirectory(folder + path) }
        try Files.write(folder + "/outside", "kept")
        try Files.write(folder + "/tree/a/own", String(repeating: "x", count: 100_000))
        try Files.write(folder + "/tree/a/b/shared", String(repeating: "x", count: 200_000))
        #expect(link(folder + "/tree/a/b/shared", folder + "/other") == 0)
        #expect(symlink(folder + "/outside", folder + "/tree/link") == 0)
        #expect(symlink(folder, folder + "/tree/a/up") == 0)
    }

    @Test func whatHasOtherNamesIsCountedApartAndStays() throws {
        let usage = try FolderTree.usage(folder + "/tree")
        #expect((200_000..<300_000).contains(usage.sharedBytes))
        #expect((100_000..<150_000).contains(usage.ownBytes))
        try FolderTree.remove(folder + "/tree")
        #expect(!Files.exists(folder + "/tree"))
        #expect(Files.exists(folder + "/outside") && Files.exists(folder + "/other"))
        try FolderTree.remove(folder)
        #expect(!Files.exists(folder))
    }
}
