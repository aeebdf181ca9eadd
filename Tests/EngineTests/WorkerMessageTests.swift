import Glibc
import Scheduler
import System
import Testing

@testable import Engine
@testable import System

@Suite struct WorkerMessageTests {
    private static let counts =
        #""counts":{"reshared_bytes":1,"born_shared_bytes":2,"deanonymized_bytes":3,"packed_bytes":4,"copied_bytes":5}"#

    private func file(_ content: [UInt8] = [1]) throws -> DescriptorBox {
        DescriptorBox(try FileDescriptor.sealedMemory(named: "test", content))
    }

    private func file(_ text: String) throws -> DescriptorBox { try file(Array(text.utf8)) }

    private func read(_ text: String, _ files: [DescriptorBox] = [], limit: Int = 1 << 20) throws -> WorkerMessage {
        let message = try #require(Datagram(parsing: Array(text.utf8)))
        return try WorkerMessage(message, files, descriptorBytesMax: limit)
    }

    private func publication(
        _ members: String, _ file: DescriptorBox? = nil, limit: Int = 1 << 20
    ) throws -> WorkerMessage.Publication {
        let files = [try file ?? self.file()]
        guard case .published(let publication) = try read(#"{"op":"published",\#(members)}"#, files, limit: limit)
        else {
            throw Malformed("another message")
        }
        return publication
    }

    /// What it is complained of in words; nil where it is taken.
    private func complaint(_ text: String, _ files: [DescriptorBox] = [], limit: Int = 1 << 20) -> String? {
        do {
            _ = try read(text, files, limit: limit)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func whatIsNoObjectWithAnOpIsNoMessage() {
        for text in ["", "[]", "{}", #"{"op":1}"#, #"{"op":"x""#] {
            #expect(Datagram(parsing: Array(text.utf8)) == nil)
        }
    }

    @Test func opsThatNobodyKnowsAreRefusedWithTheirName() {
        #expect(complaint(#"{"op":"launch"}"#) == "an unknown message 'launch'")
        let long = String(repeating: "x", count: 100_000)
        #expect(complaint(#"{"op":"\#(long)"}"#)?.utf8.count ?? .max < 100)
        // What others say is nothing that a worker says.
        for op in ["fork", "forked", "exited", "run", "pieces", "cancel", ""] {
            #expect(complaint(#"{"op":"\#(op)"}"#) != nil)
        }
    }

    @Test func aResultNeedsItsRowsItsCountsAndOneFile() throws {
        let good = #"{"op":"published","rows":5,\#(Self.counts)}"#
        #expect(complaint(good, [try file()]) == nil)
        #expect(complaint(good) != nil)
        #expect(complaint(good, [try file(), try file()]) != nil)
        for rows in ["-5", "null", "1.5", "\"5\"", "9223372036854775808", "[]"] {
            #expect(complaint(#"{"op":"published","rows":\#(rows),\#(Self.counts)}"#, [try file()]) != nil, "\(rows)")
        }
        for bytes in ["-1", "null", "1e3", "\"1\"", "18446744073709551615"] {
            let text = good.replacing(#""copied_bytes":5"#, with: #""copied_bytes":\#(bytes)"#)
            #expect(complaint(text, [try file()]) != nil, "\(bytes)")
        }
        #expect(try publication(#""rows":5,\#(Self.counts)"#).counts.total == 15)
    }

    @Test func figuresThatAreNoneAreLeftOut() throws {
        let timing = #""timing":{"open_ms":1.5,"user_ms":"x","publish_ms":null,"other_ms":3,"user_at_ms":1e308}"#
        let found = try publication(#""rows":1,\#(Self.counts),\#(timing)"#)
        #expect(found.timing == ["open_ms": 1.5, "user_at_ms": 1e308])
        #expect(found.moves == nil && found.decache == nil && found.changedFile == nil && found.asked == nil)
        let decache = #""decache":{"wanted_units":1,"reused_units":-1,"decoded_units":1,"pieces_bytes":1}"#
        #expect(try publication(#""rows":1,\#(Self.counts),\#(decache)"#).decache == nil)
    }

    @Test func howPagesMovedIsAllThereOrNotAtAll() throws {
        func moves(_ refusal: String) throws -> KernelZeroReport? {
            try publication(
                """
                "rows":1,\(Self.counts),"kernelzero":{"ranges":1,"refused_ranges":2,"refusal":\(refusal),"moved_pages":3,\
                "moved_huge_pages":4,"moved_swap_pages":5,"hole_pages":6,"copied_edge_pages":7,"copied_shared_pages":8,\
                "copied_pinned_pages":9,"copied_other_pages":10}
                """
            ).moves
        }
        let found = try #require(try moves("95"))
        #expect(found.ranges == 1 && found.refusedRanges == 2 && found.copiedOtherPages == 10)
        #expect(found.refusal == "Operation not supported")
        #expect(try moves("0") != nil && moves("0")?.refusal == nil)
        #expect(try moves("-1") == nil && moves("null") == nil)
        #expect(try moves("9223372036854775807") != nil)
    }

    @Test func whatWorkersSayOfTheWorldIsTakenAsItIs() throws {
        let found = try publication(
            #""rows":1,\#(Self.counts),"changed":["a.csv","b.csv"],"asked":[7],"warnings":["w",7]"#)
        #expect(found.changedFile == "a.csv" && found.asked == "something" && found.warnings == ["w"])
    }

    @Test func textsForPeopleAreCut() throws {
        let long = String(repeating: "ä", count: 60_000)
        guard case .failed(let error) = try read(#"{"op":"failed","error":{"message":"\#(long)","kind":"\#(long)"}}"#)
        else { return #expect(Bool(false)) }
        #expect(error.message.utf8.count <= Limit.textBytesMax && error.kind.count <= 40)
        guard case .failed(let none) = try read(#"{"op":"failed","error":[]}"#) else { return #expect(Bool(false)) }
        #expect(none.kind == "internal" && none.message == "the worker gave no reason")
        guard case .failed(let odd) = try read(#"{"op":"failed","error":{"line":9223372036854775807,"file":7}}"#)
        else { return #expect(Bool(false)) }
        #expect(odd.line == .max && odd.file == nil)
    }

    @Test func aDescriptorIsAMemoryFileWithoutHolesOfALimitedSize() throws {
        let good = #"{"op":"published","rows":5,\#(Self.counts)}"#
        let sparse = DescriptorBox(try FileDescriptor.memory(named: "sparse", bytes: 1 << 19, sealable: true))
        #expect(complaint(good, [sparse])?.contains("holes") == true)
        let huge = DescriptorBox(try FileDescriptor.memory(named: "huge", bytes: 1 << 40, sealable: true))
        #expect(complaint(good, [huge])?.contains("1099511627776") == true)
        #expect(complaint(good, [try file([UInt8](repeating: 1, count: 5000))], limit: 4999) != nil)
        #expect(complaint(good, [try file([UInt8](repeating: 1, count: 5000))], limit: 5000) == nil)
        // Whatever can wait for somebody is no memory file.
        let (reading, _) = try DescriptorBox.pipe()
        let folder = DescriptorBox(try FileDescriptor.open("/"))
        let (socket, _) = try MessageSocket.pair()
        let others = [
            reading, folder, DescriptorBox(try FileDescriptor.open("/dev/zero")),
            DescriptorBox(try socket.descriptor.duplicate()), DescriptorBox(try FileDescriptor.open("/proc/self/maps")),
        ]
        for other in others { #expect(complaint(good, [other])?.contains("no memory file") == true) }
    }

    @Test func aFileThatShrinksMeanwhileIsAnErrorWhenItIsRead() throws {
        let file = DescriptorBox(try FileDescriptor.memory(named: "shrinks", bytes: 0, sealable: true))
        try file.descriptor.writeAll([UInt8](repeating: 7, count: 9000), at: 0)
        let found = try publication(#""rows":1,\#(Self.counts)"#, file)
        #expect(try found.descriptor.content().count == 9000)
        try file.descriptor.truncate(bytes: 100)
        #expect(throws: Malformed.self) { _ = try found.descriptor.content() }
    }

    @Test func aFileIsSealedOnlyWhileNobodyElseCanWriteIt() throws {
        let file = DescriptorBox(try FileDescriptor.memory(named: "own", bytes: 0, sealable: true))
        try file.descriptor.writeAll([1, 2, 3, 4], at: 0)
        let received = try ReceivedFile(file, bytesMax: 10)
        #expect(try received.seal { (read) throws(SystemError) in (at: 1, Array(try read(2).reversed())) })
        #expect(try received.content() == [1, 2, 1, 4])
        #expect(throws: SystemError.self) { try file.descriptor.writeAll([9], at: 0) }
        #expect(try !received.seal { (_) throws(SystemError) in nil }, "it is sealed already")

        let mapped = DescriptorBox(try FileDescriptor.memory(named: "mapped", bytes: 0, sealable: true))
        try mapped.descriptor.writeAll([UInt8](repeating: 1, count: 4096), at: 0)
        let address = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped.raw, 0)
        defer { munmap(address, 4096) }
        #expect(try !ReceivedFile(mapped, bytesMax: 5000).seal { (_) throws(SystemError) in nil })
    }

    // MARK: - Blocks

    private func wants(_ blocks: String) -> String? {
        do { return complaint(#"{"op":"wants"}"#, [try file(#"{"units":[\#(blocks)]}"#)]) } catch { return "\(error)" }
    }

    @Test func blocksAreReadAsTheyAre() throws {
        let block = #"{"file":3,"read":"plain","columns":["a","b"],"groups":[[0,8],[9,12]]}"#
        guard case .wants(let blocks) = try read(#"{"op":"wants"}"#, [try file(#"{"units":[\#(block)]}"#)]) else {
            return #expect(Bool(false))
        }
        #expect(blocks.map(\.file) == [3] && blocks.map(\.read) == ["plain"])
        #expect(blocks.map(\.columns) == [["a", "b"]] && blocks.map(\.groups) == [[0..<8, 9..<12]])
    }

    @Test func blocksThatAreNoneAreRefused() throws {
        let good = #"{"file":0,"read":"","columns":["a"],"groups":[[0,1]]}"#
        #expect(wants(good) == nil)
        let changes: [(String, String)] = [
            (#""file":0"#, #""file":-1"#), (#""file":0"#, #""file":1.5"#), (#""file":0"#, #""file":"0""#),
            (#""file":0"#, #""file":9223372036854775808"#), (#""read":"""#, #""read":7"#),
            (#"["a"]"#, "[1]"), (#"["a"]"#, #""a""#), ("[[0,1]]", "[[1,1]]"), ("[[0,1]]", "[[2,1]]"),
            ("[[0,1]]", "[[-1,1]]"), ("[[0,1]]", "[[0]]"), ("[[0,1]]", "[[0,1,2]]"), ("[[0,1]]", "[0,1]"),
            ("[[0,1]]", "[[0,9223372036854775807]]"), ("[[0,1]]", "[[0,2147483647]]"), ("[[0,1]]", "null"),
        ]
        for (old, new) in changes {
            #expect(wants(good.replacing(old, with: new)) == "a block that is none", "\(new)")
        }
        #expect(wants("7") != nil && wants("null") != nil && wants(good + ",[]") != nil)
    }

    @Test func aListOfBlocksIsOneSmallFileOfJSON() throws {
        let text = #"{"op":"wants"}"#
        #expect(complaint(text) != nil)
        #expect(complaint(text, [try file("{}"), try file("{}")]) != nil)
        for content in ["", "{}", "[]", #"{"units":7}"#, #"{"pieces":[]}"#, String(repeating: "[", count: 10_000)] {
            #expect(complaint(text, [try file(content)]) != nil, "\(content.prefix(20))")
        }
        let spaces = [UInt8](repeating: 0x20, count: Limit.jsonFileBytesMax - 12)
        #expect(complaint(text, [try file(spaces + Array(#"{"units":[]}"#.utf8))]) == nil)
        #expect(complaint(text, [try file(spaces + Array(#" {"units":[]}"#.utf8))]) != nil)
    }

    @Test func piecesComeWithATableEachAndShareOneLimit() throws {
        let block = #"{"file":0,"read":"","columns":["a"],"groups":[[0,1]]}"#
        let list = #"{"pieces":[\#(block),\#(block)]}"#
        func complaint(_ tables: Int, limit: Int) throws -> String? {
            let files = [try file(list)] + (try (0..<tables).map { _ in try file([UInt8](repeating: 1, count: 600)) })
            return self.complaint(#"{"op":"decoded"}"#, files, limit: limit)
        }
        #expect(try complaint(2, limit: 1200) == nil)
        #expect(try complaint(2, limit: 1199) != nil)
        #expect(try complaint(1, limit: 1 << 20) != nil)
        #expect(try complaint(3, limit: 1 << 20) != nil)
        #expect(self.complaint(#"{"op":"decoded"}"#) != nil)
    }

    @Test func aWorkerMaySendDescriptorsOfAPartOfItsMemory() {
        #expect(WorkerProcess.descriptorBytesMax(memoryBytesMax: nil) == Limit.descriptorBytesMax)
        #expect(WorkerProcess.descriptorBytesMax(memoryBytesMax: 0) == Limit.descriptorBytesMin)
        #expect(WorkerProcess.descriptorBytesMax(memoryBytesMax: 1 << 30) == 1 << 27)
        #expect(WorkerProcess.descriptorBytesMax(memoryBytesMax: .max) == Limit.descriptorBytesMax)
    }
}

@Suite struct ZygoteMessageTests {
    private func read(_ text: String, _ files: [DescriptorBox] = []) throws -> ZygoteMessage {
        try ZygoteMessage(try #require(Datagram(parsing: Array(text.utf8))), files)
    }

    @Test func whatAZygoteSaysIsReadAsItIs() throws {
        #expect(try read(#"{"op":"ready","python":"3"}"#).worker == nil)
        guard case .forkFailed("w", "no") = try read(#"{"op":"fork-failed","worker":"w","message":"no","errno":12}"#)
        else { return #expect(Bool(false)) }
        let text = #"{"op":"exited","worker":"w","status":7,"signal":null,"memory_bytes_max":9,"cpu_ms":1.5}"#
        guard case .exited("w", let exit) = try read(text) else { return #expect(Bool(false)) }
        #expect(exit.status == 7 && exit.signal == nil && exit.memoryBytesMax == 9 && exit.cpuMilliseconds == 1.5)
    }

    @Test func figuresOfAnEndAreBroughtIntoTheirRange() throws {
        let text = """
            {"op":"exited","worker":"w","status":9223372036854775807,"signal":-9223372036854775808,\
            "memory_bytes_max":-5,"cpu_ms":-1e300}
            """
        guard case .exited(_, let exit) = try read(text) else { return #expect(Bool(false)) }
        #expect(exit.status == .max && exit.signal == .min && exit.memoryBytesMax == 0 && exit.cpuMilliseconds == 0)
    }

    @Test func messagesThatLackSomethingAreRefused() throws {
        for text in [
            #"{"op":"forked"}"#, #"{"op":"forked","worker":"w"}"#, #"{"op":"exited","worker":7}"#,
            #"{"op":"fork-failed"}"#, #"{"op":"started"}"#, #"{"op":"fork","worker":"w"}"#,
        ] {
            #expect(throws: Malformed.self, "\(text)") { _ = try read(text) }
        }
    }
}
