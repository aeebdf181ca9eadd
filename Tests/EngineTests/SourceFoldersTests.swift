import Testing

@testable import Engine

@Suite struct SourceFoldersTests {
    /// A plan of scans, by what each reads, in the project `/p`.
    private func plan(_ scans: [[String]], covered: [String] = [], rebuilt: [(String, [String])] = []) -> Plan {
        let models = scans.enumerated().map { index, paths in
            Plan.Model(
                kind: "scan", name: "s\(index)", environment: "default", inputs: [], readPaths: paths, network: false,
                memoryBytesMax: nil, timeoutSeconds: nil, final: false, file: nil, line: nil,
                task: ["files": .array(paths.map { .string($0 + "/t.parquet") })])
        }
        let hidden = Plan.Hidden(
            covered: covered, rebuilt: rebuilt.map { Plan.Hidden.Folder(folder: $0.0, shown: $0.1) })
        return Plan(
            version: Plan.version, project: .init(name: "p", folder: "/p"), prepare: nil, warnings: nil,
            environments: [], models: models, hidden: hidden)
    }

    private func rebuilt(_ view: WorkerView) -> [String: [String]] {
        Dictionary(uniqueKeysWithValues: view.rebuilt.map { ($0.folder, $0.shown) })
    }

    @Test func aModelSeesNoSourceAndAScanItsOwn() {
        let plan = plan([["/p/data/a"], ["/q"], ["/q/deep"], ["/p/data/b"]], covered: ["/p/data"])
        let folders = SourceFolders(plan, staying: ["/usr"])
        #expect(folders.shown == ["/p", "/q"])
        let model = folders.view(reading: [])
        #expect(Set(model.covered) == ["/p/data", "/q"] && model.rebuilt.isEmpty)
        let scan = folders.view(reading: ["/p/data/a"])
        #expect(scan.covered == ["/q"] && rebuilt(scan) == ["/p/data": ["/p/data/a"]])
        #expect(folders.view(reading: ["/q"]).covered == ["/p/data"])
        #expect(rebuilt(folders.view(reading: ["/q/deep"])) == ["/q": ["/q/deep"]])
    }

    @Test func whatHoldsTheProjectOrTheInterpreterShowsNothingElse() {
        let folders = SourceFolders(plan([["/home/u"]]), staying: ["/usr", "/home/u/env", "/home/u/env/lib"])
        #expect(rebuilt(folders.view(reading: [])) == ["/home/u": ["/home/u/env"]])
        var inside = plan([["/"], ["/home"]])
        inside.project.folder = "/home/p"
        inside.models[0].readPaths = ["/t.parquet"]
        let both = SourceFolders(inside, staying: [])
        #expect(both.shown == ["/home", "/t.parquet"])
        #expect(rebuilt(both.view(reading: [])) == ["/home": ["/home/p"]])
        #expect(both.view(reading: []).covered == ["/t.parquet"])
    }

    @Test func ofAFolderOfTheSystemOnlyTheFilesAreCovered() {
        let folders = SourceFolders(plan([["/usr"], ["/usr/share/data"]]), staying: ["/usr"])
        #expect(
            Set(folders.view(reading: []).covered) == [
                "/usr/t.parquet", "/usr/share/data/t.parquet", "/usr/share/data",
            ])
        #expect(folders.view(reading: ["/usr/share/data"]).covered == ["/usr/t.parquet"])
    }

    @Test func theInterpreterIsSeenInACoveredFolderToo() {
        let plan = plan([["/p/data"]], covered: ["/p/data"])
        let folders = SourceFolders(plan, staying: ["/p/data/.venv", "/p/data-2"])
        #expect(rebuilt(folders.view(reading: [])) == ["/p/data": ["/p/data/.venv"]])
    }

    @Test func aScanSeesItsOwnInARebuiltFolderAndNothingElseOfIt() {
        let plan = plan(
            [["/p/data/a"], ["/p/data/b/deep"]], covered: ["/p/x", "/p/data/keep/t.parquet"],
            rebuilt: [("/p/data", ["/p/data/keep"])])
        let folders = SourceFolders(plan, staying: [])
        #expect(rebuilt(folders.view(reading: [])) == ["/p/data": ["/p/data/keep"]])
        #expect(rebuilt(folders.view(reading: ["/p/data/a"])) == ["/p/data": ["/p/data/keep", "/p/data/a"]])
        #expect(folders.view(reading: ["/p/data"]).rebuilt.isEmpty)
        #expect(folders.view(reading: ["/p/data"]).covered == ["/p/x"])
    }

    @Test func namesThatReadTheSameAreTwoFolders() {
        let names = ["/q/caf\u{e9}", "/q/cafe\u{301}"]
        let folders = SourceFolders(plan(names.map { [$0] }), staying: [])
        #expect(folders.shown.count == 3)
        #expect(folders.view(reading: []).covered.count == 2)
        #expect(folders.view(reading: [names[0]]).covered.map { Array($0.utf8) } == [Array(names[1].utf8)])
    }
}
