import SIPC
import Scheduler
import Store
import System

/// How scans share the columns that they have decoded (`docs/protocol.md`).
extension Run {
    /// Whether a model's scan asks DeCache, and gives to it.
    func usesDeCache(_ model: Int) -> Bool {
        guard !isPreview(model), plan.models[model].mayShareScan(options) else { return false }
        // If the engine has only this run, a scan that overlaps with no other one has nobody to share with.
        return engine.options.keepsResults || overlappingScans.contains(model)
    }

    /// The most bytes of decoded columns that a scan may keep for others beside its own result.
    var decacheBytesMax: UInt64 {
        (options.memoryBytesMax ?? Engine.memoryBytesMax(engine.options) ?? (4 << 30)) / 8
    }

    /// Releases all pieces when every scan of the run has its status: an engine of one run has no other scans to come.
    func endDeCache() {
        guard !engine.options.keepsResults, engine.decache.count > 0,
            plan.models.indices.allSatisfy({ plan.models[$0].kind != "scan" || scheduler.status(of: $0) != nil })
        else { return }
        engine.decache.removeAll()
        engine.answerScans()
    }

    /// Takes in the units that a scan wants; it is answered when nobody else decodes any of them.
    ///
    /// - Returns: whether the message was in order.
    func wants(_ worker: WorkerProcess, _ names: [WorkerMessage.BlockName]) -> Bool {
        guard worker.grant != nil, usesDeCache(worker.model), worker.scan == nil,
            let blocks = blocks(names, of: worker.model)
        else { return false }
        worker.beginScan()
        engine.decache.ask(blocks, for: worker.storeID)
        engine.answerScans()
        return true
    }

    /// Takes in the pieces that a scan decoded. None counts before the worker is dead and its result was accepted.
    ///
    /// - Returns: whether the message was in order.
    func decoded(_ worker: WorkerProcess, _ pieces: [WorkerMessage.DecodedPiece]) -> Bool {
        guard worker.scan != nil, let blocks = blocks(pieces.map(\.block), of: worker.model) else { return false }
        return worker.give(zip(blocks, pieces).map { ($0, $1.descriptor) })
    }

    /// Gives DeCache the pieces of a scan whose result was accepted.
    func addPieces(_ made: [TableID], by worker: WorkerProcess, seconds: Double) {
        guard let scan = worker.scan else { return }
        for table in made {
            engine.tables.add(
                table, by: .piece, seconds: seconds / Double(made.count), maker: .init(number, worker.model))
        }
        engine.decache.add(
            zip(made, scan.pieces).map { DeCache.Piece(table: $0, block: $1.block) }, by: worker.storeID)
    }

    /// Sends a scan the pieces that hold some of what it wants; those that can't be lent from a disk are read back first.
    func answer(_ worker: WorkerProcess, _ pieces: [DeCache.Piece]) {
        worker.noteAnswer()
        // The tables are kept until they are lent, even if the cache evicts the pieces.
        for piece in pieces { engine.tables.retain(piece.table, by: .scan(worker.name)) }
        engine.mover.restore(pieces.map(\.table)) { [weak self] error in
            guard let self else { return }
            if scheduler.isAlive(worker.id), workers[worker.id] != nil {
                if let error {
                    feed(.sendFailed(worker.id, reason: "\(error)"))
                } else {
                    send(pieces, to: worker)
                }
            }
            for piece in pieces { engine.tables.releaseIfHeld(piece.table, by: .scan(worker.name)) }
        }
    }

    private func send(_ pieces: [DeCache.Piece], to worker: WorkerProcess) {
        do {
            let loans = pieces.map { piece in
                let loan = engine.mover.lend(piece.table, to: worker.storeID)
                if let key = engine.tables[piece.table]?.key { engine.tell(.tableUsed(key, nextUse: nil)) }
                return loan
            }
            let files = plan.models[worker.model].scannedFiles
            try worker.give(pieces: loans, pieces.map { $0.block.json(in: files) })
        } catch {
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// Blocks of the files that the model scans; nil when one is invalid, or of no file of the model's.
    private func blocks(_ names: [WorkerMessage.BlockName], of model: Int) -> [ScanBlock]? {
        let files = plan.models[model].scannedFiles
        var blocks: [ScanBlock] = []
        for name in names {
            guard files.indices.contains(name.file),
                let block = ScanBlock(
                    file: files[name.file], read: name.read, columns: name.columns, groups: name.groups)
            else { return nil }
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
    }

    /// The worker of that name, and its run; nil when it is over.
    private func worker(named name: String) -> (run: Run, worker: WorkerProcess)? {
        for run in runs {
            if let worker = run.workers.values.first(where: { $0.name == name }) { return (run, worker) }
        }
        return nil
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

    /// Whether two scans have a column of a file in common.
    fileprivate func scansSame(as other: Plan.Model) -> Bool {
        guard kind == "scan", other.kind == "scan" else { return false }
        func files(_ model: Plan.Model) -> Set<String> { Set(model.task["files"]?.array?.compactMap(\.string) ?? []) }
        // A missing list of columns means all columns.
        func columns(_ model: Plan.Model) -> Set<String>? {
            (model.task["columns"]?.array?.compactMap(\.string)).map { Set($0) }
        }
        guard !files(self).isDisjoint(with: files(other)) else { return false }
        guard let own = columns(self), let others = columns(other) else { return true }
        return !own.isDisjoint(with: others)
    }

    /// The files that a scan reads, as they were when it was planned; none for other models, or where they are unknown.
    var scannedFiles: [FileIdentity] { kind == "scan" ? task.fileIdentities : [] }

    /// The sources that its worker reads by itself, each as the task of a scan: a scan's own, or those of its arguments that are streamed,
    /// in their order. The worker knows their files by their numbers in all of them together.
    var sources: [JSONValue] {
        kind == "scan" ? [task] : (task["arguments"]?.array ?? []).compactMap { $0["source"] }
    }
}

extension JSONValue {
    /// The files of a scan's task, as they were when it was planned; those of which something is unknown are left out.
    var fileIdentities: [FileIdentity] {
        guard let files = self["identities"]?.array else { return [] }
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
