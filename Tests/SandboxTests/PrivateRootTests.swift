import Glibc
import System
import Testing

@testable import Sandbox

@Suite struct PrivateRootTests {
    /// A folder below /tmp that goes with the test.
    final class Scratch {
        let path: String
        init() throws {
            var template = Array("/tmp/zerrow-root-XXXXXX".utf8CString)
            path = try #require(mkdtemp(&template).map { String(cString: $0) })
        }
        func folder(_ name: String) throws -> String {
            try Files.makeDirectory("\(path)/\(name)", mode: 0o755)
            return "\(path)/\(name)"
        }
        func link(_ name: String, to target: String) throws -> String {
            try #require(symlink(target, "\(path)/\(name)") == 0)
            return "\(path)/\(name)"
        }
        deinit {
            let child = try? ChildProcess(
                ["rm", "-rf", path], environment: ["PATH": "/usr/bin:/bin"], folder: "/", output: .null, errors: .null)
            _ = try? child?.wait()
        }
    }

    private func paths(_ root: PrivateRoot, below folder: String) -> [RootEntry] {
        root.entries.filter { $0.path.hasPrefix(folder) }
    }

    @Test func theSystemIsShownAndLinksStayLinks() throws {
        let root = try PrivateRoot(showing: [])
        #expect(root.entries.contains(RootEntry(path: "/usr")))
        for entry in root.entries { #expect(entry.link == Files.linkTarget(entry.path)) }
        #expect(!root.entries.contains { ["/etc", "/home", "/root", "/var"].contains($0.path) })
    }

    @Test func whatLiesInAShownFolderIsShownWithIt() throws {
        let scratch = try Scratch()
        let outer = try scratch.folder("outer")
        let inner = try scratch.folder("outer/inner")
        let sibling = try scratch.folder("outer-2")
        let root = try PrivateRoot(showing: [inner, sibling, outer, "/usr/bin"])
        #expect(paths(root, below: scratch.path) == [RootEntry(path: outer), RootEntry(path: sibling)])
        #expect(root.belowTmp == [outer, sibling])
    }

    @Test func everyLinkOnTheWayIsShown() throws {
        let scratch = try Scratch()
        let real = try scratch.folder("python-3.11.7")
        let version = try scratch.link("python-3.11", to: "python-3.11.7")
        let environment = try scratch.folder("environment")
        let interpreter = try scratch.link("environment/python", to: "\(version)/program")
        try Files.write("\(real)/program", "")
        let root = try PrivateRoot(showing: [interpreter])
        let expected: Set = [
            "\(interpreter)>\(version)/program", "\(version)>python-3.11.7", "\(real)/program>",
        ]
        #expect(Set(paths(root, below: scratch.path).map { "\($0.path)>\($0.link ?? "")" }) == expected)
        let whole = try PrivateRoot(showing: [environment, interpreter])
        #expect(paths(whole, below: environment) == [RootEntry(path: environment)])
    }

    @Test(arguments: ["/", "/proc", "/dev/shm", "/sys/kernel", "/proc/self", "relative", "/nothing/of/that/name"])
    func whatCannotBeShownIsAnErrorThatNamesIt(_ path: String) throws {
        let error = #expect(throws: SandboxError.self) { _ = try PrivateRoot(showing: [path]) }
        #expect(error?.description.contains("showing \(path)") == true)
    }

    @Test func namesMayHaveAnyCharacter() throws {
        let scratch = try Scratch()
        let names = ["a:b", "a b", "a\nb", "a,b", "a'b", "a\"b", "a\\b", "a%b", "a*b", "\u{1f}", "🦀"]
        let folders = try names.map { try scratch.folder($0) }
        #expect(Set(try PrivateRoot(showing: folders).belowTmp) == Set(folders))
    }

    @Test func namesThatReadTheSameAreTwoPlaces() throws {
        let scratch = try Scratch()
        let folders = [try scratch.folder("caf\u{e9}"), try scratch.folder("cafe\u{301}")]
        let shown = try PrivateRoot(showing: folders + folders).belowTmp
        #expect(Set(shown.map { Array($0.utf8) }) == Set(folders.map { Array($0.utf8) }) && shown.count == 2)
    }

    @Test func linksThatGoRoundAreAnError() throws {
        let scratch = try Scratch()
        let one = try scratch.link("one", to: "\(scratch.path)/two")
        _ = try scratch.link("two", to: one)
        #expect(throws: SandboxError.self) { _ = try PrivateRoot(showing: [one]) }
    }
}
