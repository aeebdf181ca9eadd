import SIPC
import Scheduler
import Store
import System

/// What scans share of what they have decoded (`docs/protocol.md`).
extension Run {
    /// Whether a model's scan asks DeCache, and gives to it.
    func usesDeCache(_ model: Int) -> Bool {
        guard !isPreview(model), plan.models[model].mayShareScan(options) else { return false }
        // An engine of one run has no use for what no other scan of the run wants.
        return engine.options.keepsResults || overlappingScans.contains(model)
    }

    /// The most bytes of decoded columns that a scan may keep for others and that its own result doesn't name.
    var decacheBytesMax: UInt64 {
        (options.memoryBytesMax ?? Engine.memoryBytesMax(engine.options) ?? (4 << 30)) / 8
    }

    /// Lets go of pieces when nobody may want them any more: an engine of one run has no other scans to come.
    func endDeCache() {
        guard !engine.options.keepsResults, engine.decache.count > 0,
            plan.models.indices.allSatisfy({ plan.models[$0].kind != "scan" || scheduler.status(of: $0) != nil })
        else { return }
        engine.decache.removeAll()
        engine.answerScans()
    }

    /// A scan says what it wants; it is answered when nobody else decodes any of it.
    ///
    /// - Returns: whether that was in order.
    func wants(_ worker: Worker, _ descriptors: [DescriptorBox]) -> Bool {
        guard worker.grant != nil, usesDeCache(worker.model), worker.scan == nil, descriptors.count == 1,
            let blocks = blocks("units", descriptors[0], of: worker.model)
        else { return false }
        worker.scan = Worker.Scan()
        engine.decache.ask(blocks, for: worker.storeID)
        engine.answerScans()
        return true
    }

    /// A scan gives what it decoded. Nothing of it counts before the worker is dead and its result was accepted.
    ///
    /// - Returns: whether that was in order.
    func decoded(_ worker: Worker, _ descriptors: [DescriptorBox]) -> Bool {
        guard worker.scan?.isAnswered == true, worker.published == nil, let list = descriptors.first,
            let blocks = blocks("pieces", list, of: worker.model), blocks.count == descriptors.count - 1
        else { return false }
        for (block, file) in zip(blocks, descriptors.dropFirst()) {
            guard let bytes = Worker.Published.bytes(of: file) else { return false }
            worker.scan?.pieces.append((block, bytes))
        }
        return true
    }

    /// Sends a scan the pieces that hold some of what it wants; those that can't be lent from a disk are read back first.
    func answer(_ worker: Worker, _ pieces: [DeCache.Piece]) {
        worker.scan?.isAnswered = true
        // Kept until they are lent, whoever wants to evict them.
        for piece in pieces { engine.tables.retain(piece.table, by: .scan(worker.name)) }
        engine.tellHoldings()
        engine.mover.restore(pieces.map(\.table)) { [weak self] error in
            guard let self else { return }
            if scheduler.isAlive(worker.id), workers[worker.id] != nil {
                if let error {
                    feed(.sendFailed(worker.id, reason: "\(error)"))
                } else {
                    send(pieces, to: worker)
                }
            }
            for piece in pieces { engine.tables.evict(piece.table, from: .scan(worker.name)) }
        }
    }

    private func send(_ pieces: [DeCache.Piece], to worker: Worker) {
        do {
            let loans = pieces.map { piece in
                engine.mover.comesBack(piece.table)
                if let key = engine.tables[piece.table]?.key { engine.tell(.tableUsed(key, nextUse: nil)) }
                return engine.store.lend(piece.table, to: worker.storeID)
            }
            try send(segmentsOf: loans, to: worker)
            let files = plan.models[worker.model].scannedFiles
            let size = Datagram.descriptorsMax - 1
            for start in stride(from: 0, through: max(0, pieces.count - 1), by: size) {
                let chunk = start..<min(start + size, pieces.count)
                let blocks = chunk.map { pieces[$0].block.json(in: files) }
                let list = DescriptorBox(
                    try FileDescriptor.sealedMemory(named: "pieces", JSONValue.object(["pieces": .array(blocks)]).utf8))
                try worker.channel.send(
                    ["op": "pieces", "last": .bool(chunk.upperBound == pieces.count)],
                    [list] + chunk.map { loans[$0].descriptor })
            }
        } catch {
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// Blocks as a worker names them; nil when one of them is none, or of no file of the model's.
    private func blocks(_ member: String, _ file: DescriptorBox, of model: Int) -> [ScanBlock]? {
        guard let bytes = Worker.Published.bytes(of: file), let list = JSONValue(parsing: bytes)?[member]?.array else {
            return nil
        }
        let files = plan.models[model].scannedFiles
        var blocks: [ScanBlock] = []
        for entry in list {
            guard let block = ScanBlock(entry, files) else { return nil }
            blocks.append(block)
        }
        return blocks
    }
}

extension Engine {
    /// Answers the scans that can be answered.
    func answerScans() {
        for answer in decache.answers() {
            guard let (run, worker) = worker(named: answer.worker.rawValue) else { continue }
            run.answer(worker, answer.pieces)
        }
        for table in decache.takeReleased() { tables.evict(table, from: .piece) }
        tables.noteReaders()
    }
}

extension Plan {
    /// The scans that read some column of some file that another scan reads too.
    var overlappingScans: Set<Int> {
        let scans = models.indices.filter { models[$0].kind == "scan" }
        return Set(scans.filter { scan in scans.contains { $0 != scan && models[$0].scansSame(as: models[scan]) } })
    }
}

extension Plan.Model {
    /// Whether the model is a scan that may share what it decodes with others.
    func mayShareScan(_ options: RunOptions) -> Bool { options.usesDeCache && kind == "scan" && cache != false }

    /// Whether two scans read some column of some file both.
    fileprivate func scansSame(as other: Plan.Model) -> Bool {
        guard kind == "scan", other.kind == "scan" else { return false }
        func files(_ model: Plan.Model) -> Set<String> { Set(model.task["files"]?.array?.compactMap(\.string) ?? []) }
        // No list of columns is all of them.
        func columns(_ model: Plan.Model) -> Set<String>? {
            (model.task["columns"]?.array?.compactMap(\.string)).map { Set($0) }
        }
        guard !files(self).isDisjoint(with: files(other)) else { return false }
        guard let own = columns(self), let others = columns(other) else { return true }
        return !own.isDisjoint(with: others)
    }

    /// The files that a scan reads, as they were when it was planned; none for other models, or where they are unknown.
    var scannedFiles: [FileIdentity] {
        guard let files = task["identities"]?.array else { return [] }
        return files.compactMap { file in
            guard let path = file["path"]?.string, let device = file["device"]?.integer,
                let inode = file["inode"]?.integer, let bytes = file["bytes"]?.integer,
                let mtime = file["mtime_ns"]?.integer, let ctime = file["ctime_ns"]?.integer
            else { return nil }
            return FileIdentity(
                path: path, device: UInt64(bitPattern: device), inode: UInt64(bitPattern: inode),
                bytes: UInt64(clamping: bytes), mtimeNanoseconds: mtime, ctimeNanoseconds: ctime)
        }
    }
}

extension ScanBlock {
    /// A block of one of these files, as a worker names it.
    fileprivate init?(_ body: JSONValue, _ files: [FileIdentity]) {
        guard let number = body["file"]?.integer, let file = Int(exactly: number), files.indices.contains(file),
            let read = body["read"]?.string, let columns = body["columns"]?.array, let groups = body["groups"]?.array
        else { return nil }
        var ranges: [Range<Int>] = []
        for range in groups {
            guard let ends = range.array, ends.count == 2, let lower = ends[0].integer, let upper = ends[1].integer,
                lower >= 0, lower < upper, upper < Int64(Int32.max)
            else { return nil }
            ranges.append(Int(lower)..<Int(upper))
        }
        let names = columns.compactMap(\.string)
        guard names.count == columns.count else { return nil }
        self.init(file: files[file], read: read, columns: names, groups: ranges)
    }

    /// The block as a worker reads it.
    fileprivate func json(in files: [FileIdentity]) -> JSONValue {
        [
            "file": .integer(Int64(files.firstIndex(of: file) ?? 0)), "read": .string(read),
            "columns": .array(columns.map { .string($0) }),
            "groups": .array(
                groups.ranges.map { .array([.integer(Int64($0.lowerBound)), .integer(Int64($0.upperBound))]) }),
        ]
    }
}
