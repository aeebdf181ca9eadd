import FoundationEssentials
import Scheduler
import Store
import System

@testable import Engine

// What processes send to the engine, and the engine to a client. An input is a message and the files beside it, with a byte 0 between two:
// JSON has no such byte.

/// The parts of an input: the message, and the files that came with it.
private func parts(_ bytes: [UInt8]) -> (Datagram, [DescriptorBox])? {
    let parts = bytes.split(separator: 0, maxSplits: 8, omittingEmptySubsequences: false)
    guard let first = parts.first, let message = Datagram(parsing: Array(first)) else { return nil }
    let files = parts.dropFirst().compactMap { content in
        try? DescriptorBox(FileDescriptor.sealedMemory(named: "fuzz", Array(content)))
    }
    return (message, files)
}

/// A worker: its message, and what a run does with it.
func fuzzWorker(_ bytes: [UInt8]) {
    guard let (message, files) = parts(bytes),
        let read = try? WorkerMessage(message, files, descriptorBytesMax: 1 << 20)
    else { return }
    switch read {
    case .started, .running, .wantsFiles, .wantsRoom: break
    case .wrote(let table): precondition(table.fault(fileCount: 3) != nil || table.rows >= 0)
    case .wants(let blocks): answer(blocks)
    case .decoded(let pieces): answer(pieces.map(\.block))
    case .done(let text): precondition((text?.utf8.count ?? 0) <= Limit.textBytesMax + 8)
    case .failed(let error): precondition(error.message.utf8.count <= Limit.textBytesMax + 8)
    case .published(let publication):
        precondition(publication.rows >= 0 && publication.timing.values.allSatisfy(\.isFinite))
        var report = RunReport(run: "r", failures: [])
        report.models = [
            RunReport.Model(
                name: "m", status: "success", startMilliseconds: nil, wallMilliseconds: nil, memoryBytesMax: nil,
                executions: 1, timing: publication.timing, decache: publication.decache,
                output: .init(rows: publication.rows, counts: publication.counts, moves: publication.moves))
        ]
        precondition(!report.json.isEmpty)
        _ = try? DecodedTable(publication.descriptor, output: SegmentID(rawValue: 7))
    }
}

/// Asks DeCache for blocks, and gives it what it should decode.
private func answer(_ names: [WorkerMessage.BlockName]) {
    let file = FileIdentity(
        path: "/f", device: 1, inode: 2, bytes: 3, mtimeNanoseconds: 4, ctimeNanoseconds: 5)
    let blocks = names.compactMap {
        ScanBlock(file: file, read: $0.read, columns: $0.columns, groups: $0.groups)
    }
    var cache = DeCache()
    let workers = ["a", "b"].map { BorrowerID(rawValue: $0) }
    for worker in workers { cache.ask(blocks, for: worker) }
    let count = cache.answers().count
    precondition(count >= 1)
    for worker in workers { cache.end(worker) }
    _ = cache.answers()
}

/// A zygote.
func fuzzZygote(_ bytes: [UInt8]) {
    guard let (message, files) = parts(bytes), let read = try? ZygoteMessage(message, files) else { return }
    if case .exited(_, let exit) = read { precondition(exit.cpuMilliseconds.isFinite && exit.cpuMilliseconds >= 0) }
}

/// A client: its message, its call, and what is made of a plan before anything starts.
func fuzzClient(_ bytes: [UInt8]) {
    guard let (message, files) = parts(bytes), case .run(_, _, let file) = try? ClientMessage(message, files),
        case .success(let call) = ServeMessage.Call.read(file)
    else { return }
    use(call.plan)
}

/// The planner.
func fuzzPlanner(_ bytes: [UInt8]) {
    _ = PlannerAnswer.problems(bytes)?.map(\.text)
    if let plan = try? PlannerAnswer.plan(bytes) { use(plan) }
}

private func use(_ plan: Plan) {
    let index = Dictionary(uniqueKeysWithValues: plan.models.enumerated().map { ($1.name, $0) })
    let view = WorkerView(plan, staying: ["/usr"], written: ["/p/out"], mountPoints: [])
    let models = plan.models.map {
        Scheduler.Model(
            inputs: $0.inputs.map { index[$0]! }, environment: ZygoteKey($0, of: plan, seeing: view).name,
            isFinal: $0.final)
    }
    _ = try? Scheduler.Graph(models)
    _ = plan.overlappingScans
    for model in plan.models {
        _ = model.scannedFiles
        _ = model.task.utf8
    }
}

/// A planner's questions of files: only such as name places that are not there, as an answer is as long as a folder.
func fuzzQuestions(_ bytes: [UInt8]) {
    guard bytes.count > 6, bytes.prefix(4096).contains(0) else { return }
    var question = bytes
    // What it asks of lies in no folder of this machine.
    question.insert(contentsOf: Array("/nowhere/".utf8), at: 5)
    guard var answer = try? SourceAnswers().answer(question) else { return }
    var count = 0
    while let piece = answer.next(), count < 100 {
        precondition(piece.count <= SourceAnswers.pieceBytesMax + 5)
        count += 1
    }
}

/// An engine that serves, to its client.
func fuzzServer(_ bytes: [UInt8]) {
    guard let (message, files) = parts(bytes) else { return }
    _ = try? ServerMessage(message, files)
}

/// JSON: what is written reads, and is written the same again. Only minus zero, a fraction before, is a whole number then.
func fuzzJSON(_ bytes: [UInt8]) {
    guard let value = JSONValue(parsing: bytes) else { return }
    let shape = JSONShape(bytes)
    precondition(shape.depth <= Limit.jsonDepthMax && shape.values <= Limit.jsonValuesMax)
    guard let again = JSONValue(parsing: value.utf8) else { fatalError("what was written does not read") }
    precondition(JSONValue(parsing: again.utf8)?.utf8 == again.utf8)
}

/// The bytes of a datagram on a socket, with as many descriptors as its first byte says.
func fuzzChannel(_ bytes: [UInt8]) {
    guard let first = bytes.first, bytes.count > 1, let (ours, theirs) = try? MessageSocket.pair(),
        (try? theirs.send(
            Array(bytes.dropFirst()), descriptors: Array(repeating: theirs.raw, count: min(Int(first), 253)),
            wait: false)) != nil
    else { return }
    let channel = Channel(ours)
    for _ in 0..<2 {
        _ = channel.receive { (message, files) throws(Malformed) in
            try WorkerMessage(message, files, descriptorBytesMax: 1 << 20)
        }
    }
}

/// What a process prints: no byte of it is lost, and no call gives too much.
func fuzzLines(_ bytes: [UInt8]) {
    guard let (reading, writing) = try? DescriptorBox.pipe() else { return }
    let content = Array(bytes.prefix(60_000))
    guard let reader = try? LineReader(reading),
        (try? content.withUnsafeBytes { try writing.descriptor.writeAll($0) }) != nil
    else { return }
    var lines: [String] = []
    repeat {
        let next = reader.lines()
        precondition(
            next.count <= Limit.linesPerTurn && next.allSatisfy { $0.unicodeScalars.count <= Limit.lineBytesMax })
        lines += next
    } while reader.hasMore
    let ends = content.count { $0 == UInt8(ascii: "\n") }
    precondition(lines.count >= ends)
}
