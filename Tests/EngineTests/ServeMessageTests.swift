import FoundationEssentials
import System
import Testing

@testable import Engine
@testable import System

@Suite struct ServeMessageTests {
    private let good = """
        {"plan":{"version":1,"project":{"name":"p","folder":"/p"},\
        "environments":[{"id":"e","python":"/e/bin/python","modules":[]}],\
        "models":[{"kind":"python","name":"m","environment":"e","inputs":[],"network":false,\
        "final":true,"task":{}}]},\
        "options":{"keeps_going":false,"uses_cache":true,"uses_decache":true,"priority":5,"is_transactional":true,\
        "preview_rows":10,"preview_width":100,"previews_tail":false,"notes_exports":true,"hands_tables":false}}
        """

    private func file(_ text: String) throws -> ReceivedFile {
        try ReceivedFile(
            DescriptorBox(try FileDescriptor.sealedMemory(named: "call", Array(text.utf8))),
            bytesMax: Limit.planBytesMax)
    }

    /// Why a call is refused; nil where it isn't.
    private func complaint(_ text: String) throws -> String? {
        switch ServeMessage.Call.read(try file(text)) {
        case .success: nil
        case .failure(let error): "\(error)"
        }
    }

    @Test func aCallIsReadAndChecked() throws {
        #expect(try complaint(good) == nil)
        let long = String(repeating: "x", count: 200_000)
        let changes: [(String, String)] = [
            (#""environment":"e""#, #""environment":"\#(long)""#), (#""name":"m""#, #""name":"\#(long)""#),
            (#""folder":"/p""#, #""folder":"/\#(long)""#), (#""folder":"/p""#, #""folder":"p""#),
            (#""version":1"#, #""version":1,"hidden":{"covered":["/\#(long)"],"rebuilt":[]}"#),
            (#""version":1"#, #""version":1,"hidden":{"covered":["x"],"rebuilt":[]}"#),
            (#""/e/bin/python""#, #""""#), (#""version":1"#, #""version":2"#), (#""version":1"#, #""version":1e99"#),
            (#""preview_rows":10"#, #""slots":0,"preview_rows":10"#),
            (#""preview_rows":10"#, #""memory_bytes_max":0,"preview_rows":10"#),
            (#""preview_rows":10"#, #""memory_bytes_max":-1,"preview_rows":10"#),
            (#""preview_rows":10"#, #""export_folder":"x","preview_rows":10"#),
            (#""preview_rows":10"#, #""preview_rows":1e30"#),
            (#""inputs":[]"#, #""inputs":["m"]"#), (#""task":{}"#, #""key":"../x","task":{}"#),
            (#""version":1"#, #""version":1,"prepare":{"command":[],"missing":[]}"#),
            (#""task":{}"#, #""task":\#(String(repeating: "[", count: 400) + String(repeating: "]", count: 400))"#),
        ]
        for (old, new) in changes {
            let complaint = try complaint(good.replacing(old, with: new))
            #expect(complaint != nil && complaint?.utf8.count ?? 0 < 2000, "\(new.prefix(60))")
        }
        for text in ["", "{}", "[]", "null", String(good.dropLast())] { #expect(try complaint(text) != nil) }
    }

    @Test func aCallOfTooManyValuesIsRefusedBeforeItIsRead() throws {
        /// The call, with a task that makes so many values more of it.
        func call(_ values: Int) -> String {
            good.replacing(#""task":{}"#, with: #""task":[\#(String(repeating: "0,", count: values - 1))0]"#)
        }
        let others = JSONShape(Array(good.utf8)).values
        #expect(try complaint(call(1000)) == nil)
        let complaint = try complaint(call(Limit.planValuesMax - others + 1))
        #expect(complaint?.contains("\(Limit.planValuesMax) are allowed") == true, "\(complaint ?? "it was taken")")
    }

    @Test func figuresThatMakeNoSenseAreTaken() throws {
        for (old, new) in [
            (#""final":true"#, #""final":true,"expected_bytes":18446744073709551615"#),
            (#""final":true"#, #""final":true,"memory_bytes_max":18446744073709551615"#),
            (#""final":true"#, #""final":true,"timeout_s":1e308"#),
            (#""preview_rows":10"#, #""preview_rows":-1"#),
            (#""preview_rows":10"#, #""preview_rows":10,"memory_bytes_max":18446744073709551615"#),
        ] {
            #expect(try complaint(good.replacing(old, with: new)) == nil, "\(new)")
        }
    }

    @Test func aClientSaysRunOrCancelAndNothingElse() throws {
        func read(_ text: String, _ files: [DescriptorBox] = []) throws -> ClientMessage {
            try ClientMessage(try #require(Datagram(parsing: Array(text.utf8))), files)
        }
        _ = try read(#"{"op":"cancel"}"#)
        let call = DescriptorBox(try FileDescriptor.sealedMemory(named: "call", [1]))
        _ = try read(#"{"op":"run"}"#, [call])
        let hole = DescriptorBox(try FileDescriptor.memory(named: "hole", bytes: 1 << 26, sealable: true))
        let (pipe, _) = try DescriptorBox.pipe()
        for files in [[], [call, call], [hole], [pipe]] {
            #expect(throws: Malformed.self) { _ = try read(#"{"op":"run"}"#, files) }
        }
        #expect(throws: Malformed.self) { _ = try read(#"{"op":"ended"}"#, [call]) }
    }
}
