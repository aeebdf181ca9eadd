import Glibc
import System
import Testing

@testable import Engine

/// Environments: what is taken for a request, and who may use or remove which.
@Suite struct EnvironmentTests {
    private let folder = "/tmp/zerrow-environments-\(UInt64.random(in: 0...UInt64.max))"
    private let id = String(repeating: "a1", count: 16)

    private func request(_ line: String) -> EnvironmentRequest? {
        EnvironmentRequest(["python": "3.12", "requirements": [.string(line)], "constraints": [], "hashes": [:]])
    }

    @Test func aRequestIsNamesAndVersionsAndNothingElse() {
        for line in ["six", "moto[s3]==5.*", "pandas<3,>=2", #"tomli==2.0.1; python_version < "3.11""#] {
            #expect(request(line) != nil, "\(line)")
        }
        for line in [
            "", "-r /etc/passwd", "--index-url=http://x", "six --hash=sha256:00", "six @ http://x", "./six", "/six",
            "six\n-r other", "six # x", "${HOME}", "six\\", "six\0", "six; os.system('/bin/x')",
            String(repeating: "a", count: 2000),
        ] {
            #expect(request(line) == nil, "\(line)")
        }
        #expect(EnvironmentRequest(["python": "3.12; x", "requirements": [], "constraints": [], "hashes": [:]]) == nil)
        #expect(EnvironmentRequest(["python": "3", "requirements": "six", "constraints": [], "hashes": [:]]) == nil)
        #expect(request("six")?.key != request("six==1")?.key)
    }

    @Test func aWheelIsThatOfThePackageThatWasBuilt() {
        #expect(WheelBuilder.isWheel("docopt-0.6.2-py2.py3-none-any.whl", of: "docopt"))
        #expect(WheelBuilder.isWheel("My_Package-1.0-1-cp312-cp312-linux_x86_64.whl", of: "my-package"))
        for file in [
            "pandas-9-py3-none-any.whl", "../docopt-0.6.2-py3-none-any.whl", "docopt-0.6.2-py3-none-any.zip",
            "docopt.whl", "", "docopt-0.6.2-py3-none-any.whl\n",
        ] { #expect(!WheelBuilder.isWheel(file, of: "docopt"), "\(file)") }
    }

    @Test func aRecipeIsReadBackAsItWasOrNotAtAll() throws {
        let recipe = EnvironmentRecipe(
            python: "/usr/bin/python3", pythonVersion: "3.12.1", lock: "six==1.0 \\\n    --hash=sha256:00\n")
        #expect(EnvironmentRecipe(recipe.utf8) == recipe)
        #expect(recipe.packages == [InstalledPackage(name: "six", version: "1.0")])
        let text = String(decoding: recipe.utf8, as: UTF8.self)
        #expect(EnvironmentRecipe(Array(text.replacing("six", with: "sax").utf8)) == nil)
        #expect(EnvironmentRecipe(Array("{}".utf8)) == nil)
    }

    @Test func whoUsesAnEnvironmentKeepsItFromBeingRemoved() throws {
        let cache = try EnvironmentCache(folder: folder)
        defer { try? FolderTree.remove(folder) }
        #expect(try cache.hold(id) == nil)
        try Files.makeDirectory(cache.path(id))
        try Files.makeDirectory("\(folder)/\(id).partial-1")
        var hold = try cache.hold(id)
        #expect(hold != nil)
        #expect(try cache.lockAlone(id) == nil)
        #expect(try cache.prune(unusedForSeconds: 0).used == [id])
        hold = nil
        #expect(hold == nil && Files.isFolder(cache.path(id)))
        #expect(try cache.prune(unusedForSeconds: 3600).removed == [])
        #expect(!Files.exists("\(folder)/\(id).partial-1"))
        #expect(try cache.prune(unusedForSeconds: 0).removed == [id])
        #expect(!Files.exists(cache.path(id)))
    }

    @Test func aFolderThatOthersCanWriteToIsRefused() throws {
        try Files.makeDirectory(folder)
        defer { try? FolderTree.remove(folder) }
        try Files.changeMode(folder, 0o777)
        #expect(throws: EngineError.self) { _ = try EnvironmentCache(folder: folder) }
        #expect(throws: EngineError.self) { _ = try EnvironmentCache(environment: [:]) }
    }
}
