import Testing

@testable import Engine

@Suite struct WorkerViewTests {
    /// A plan of scans, by the folders that they read a file in, in the project `/p`.
    private func plan(_ scans: [String] = [], covered: [String] = [], rebuilt: [(String, [String])] = []) -> Plan {
        let models = scans.enumerated().map { index, path in
            Plan.Model(
                kind: "scan", name: "s\(index)", environment: "default", inputs: [], network: false,
                memoryBytesMax: nil, timeoutSeconds: nil, final: false, file: nil, line: nil,
                task: ["files": [.string(path + "/t.parquet")]])
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

    @Test func whatThePlanHidesIsHiddenFromAll() {
        let view = WorkerView(
            plan(["/p/data", "/q"], covered: ["/p/data", "/p/.env"], rebuilt: [("/p/raw", ["/p/raw/README"])]),
            staying: ["/usr"])
        #expect(view.covered == ["/p/.env", "/p/data"] && rebuilt(view) == ["/p/raw": ["/p/raw/README"]])
        #expect(view.overlaid == ["/p"])
    }

    @Test func aSourceOutsideOfTheProjectNeedsNoCoverUnlessItLiesAmongWhatIsShown() {
        let view = WorkerView(plan(["/q", "/usr/share/data", "/home/u/env/lib"]), staying: ["/usr", "/home/u/env"])
        #expect(view.covered == ["/home/u/env/lib/t.parquet", "/usr/share/data/t.parquet"])
    }

    @Test func theInterpreterIsSeenInACoveredFolderToo() {
        let view = WorkerView(
            plan(covered: ["/p/data", "/p/.venv"]), staying: ["/p/data/.venv", "/p/data-2", "/p/.venv"])
        #expect(rebuilt(view) == ["/p/data": ["/p/data/.venv"]] && view.covered.isEmpty)
    }

    @Test func whatTheEngineWritesIsHiddenWhereItLiesInTheProject() {
        let view = WorkerView(
            plan(covered: ["/p/out"]), staying: [], written: ["/p/cache", "/p/out/deep", "/p", "/", "/var/spill"])
        #expect(view.covered == ["/p/cache", "/p/out"])
    }

    @Test func aProjectInWhichSomethingIsMountedIsShownAsItIs() {
        #expect(WorkerView(plan(), staying: [], mountPoints: ["/", "/p2", "/p"]).overlaid == ["/p"])
        #expect(WorkerView(plan(), staying: [], mountPoints: ["/", "/p/data"]).overlaid == [])
    }

    @Test func namesThatReadTheSameAreTwoFolders() {
        let names = ["/p/caf\u{e9}", "/p/cafe\u{301}"]
        #expect(WorkerView(plan(covered: names), staying: []).covered.count == 2)
    }
}
