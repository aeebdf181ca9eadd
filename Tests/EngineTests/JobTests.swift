import Glibc
import System
import Testing

@testable import Engine

@Suite struct JobTests {
    /// A new folder, removed in the end.
    private func withFolder(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/zerrow-jobs-XXXXXX".utf8CString)
        let path = String(cString: mkdtemp(&template))
        defer {
            for name in (try? Files.list(path)) ?? [] { _ = try? Files.remove(path + "/" + name) }
            _ = try? Files.removeDirectory(path)
        }
        try body(path)
    }

    private func job(_ id: String) -> Job { Job(id: id, kind: .run, folder: "/", options: ["strict": true]) }

    @Test func idsAreTwelveDigitsAndDiffer() {
        let ids = Set((0..<1000).map { _ in Job.newID() })
        #expect(ids.count == 1000 && ids.allSatisfy { Job.isID($0) })
        #expect(!Job.isID("") && !Job.isID("../../../etc") && !Job.isID("ABCDEFABCDEF") && !Job.isID("0123456789abc"))
    }

    @Test func aJobRunsAsLongAsItsLogIsLocked() throws {
        try withFolder { path in
            let folder = try JobFolder(path, makes: true)
            let id = Job.newID()
            var log: DescriptorBox? = try folder.makeLog(id)
            var running = job(id)
            running.status = .running
            try folder.write(running)
            #expect(folder.job(id)?.status == .running)
            #expect(throws: (any Error).self) { try folder.makeLog(id) }
            withExtendedLifetime(log) {}
            log = nil
            let ended = try #require(folder.job(id))
            #expect(ended.status == .abort && ended.endedAt != nil && ended.error == "its process was killed")
            running.status = .complete
            try folder.write(running)
            #expect(folder.job(id)?.status == .complete)
            #expect(try folder.jobs().map(\.id) == [id])
        }
    }

    @Test func aBeginningOfAnIdHasToMeanOneJob() throws {
        try withFolder { path in
            let folder = try JobFolder(path, makes: true)
            for id in ["aa0000000000", "ab0000000000"] { try folder.write(job(id)) }
            #expect(try folder.job(startingWith: "aa").id == "aa0000000000")
            #expect(try folder.job(startingWith: "AB0000000000").id == "ab0000000000")
            for text in ["a", "", "b", "../", "aa00000000000"] {
                #expect(throws: EngineError.self, "\(text)") { try folder.job(startingWith: text) }
            }
        }
    }

    @Test func aRecorderKeepsWhatItObserves() throws {
        final class Silent: RunObserver {
            var lines: [String] = []
            func runBegan(_ plan: Plan) {}
            func modelStarted(_ model: String) {}
            func modelEnded(_ model: RunReport.Model, failure: String?) {}
            func printed(_ model: String, lines: [String]) { self.lines += lines }
            func note(_ text: String) {}
        }
        try withFolder { path in
            let (observer, id) = (Silent(), Job.newID())
            let recorder = JobRecorder(job(id), in: path + "/jobs", forwarding: observer)
            recorder.begin()
            recorder.printed("m", lines: ["one", "two"])
            recorder.note("a note")
            recorder.noteStop(by: SIGINT)
            let problem = recorder.end(RunReport(run: id, failures: [.init(model: "m", message: "broken")]))
            #expect(problem == nil)
            #expect(observer.lines == ["one", "two"])
            let folder = try JobFolder(path + "/jobs", makes: false)
            let kept = try #require(folder.job(id))
            #expect(kept.status == .abort && kept.error == "broken")
            let lines = try folder.lines(of: id)
            #expect(lines.filter { $0.stream == .stdout }.map(\.text) == ["one", "two"])
            #expect(lines.contains { $0.stream == .system && $0.text == "a note" })
            for name in try Files.list(path + "/jobs") { try Files.remove(path + "/jobs/" + name) }
            try Files.removeDirectory(path + "/jobs")
        }
    }
}
