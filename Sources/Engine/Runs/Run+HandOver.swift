import Glibc
import Sandbox
import Scheduler
import Store
import System

/// How a worker is given its inputs, its task, the code, and the segment to write to.
extension Run {
    /// Hands a worker its inputs, unless reading them back has failed.
    func handOver(_ model: Int, to worker: WorkerProcess, unless failure: (any Error)?) {
        // The worker may have been killed while its inputs were read back.
        guard scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
        do {
            if let failure { throw failure }
            try handOver(model, to: worker)
            worker.deadline = timeout(of: model).map { Deadline.after(seconds: $0.seconds) }
        } catch {
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// How long a model may run; nil for ever.
    func timeout(of model: Int) -> ModelTimeout? {
        isPreview(model) ? nil : ModelTimeout(of: plan.models[model], in: plan, options)
    }

    /// Limits the worker's memory to its grant.
    func limit(_ worker: WorkerProcess) {
        worker.descriptorBytesLeft = WorkerProcess.descriptorBytesMax(memoryBytesMax: worker.grant?.memoryBytesMax)
        guard let bytes = worker.grant?.memoryBytesMax, let cgroup = worker.cgroup else { return }
        cgroup.setMemoryMax(UInt64(bytes))
    }

    /// Sends the segments, the tables, the task, and the segment to write to.
    private func handOver(_ model: Int, to worker: WorkerProcess) throws {
        for table in Set(inputs(of: model).map { tables[$0]! }) { engine.mover.comesBack(table) }
        let loans = inputs(of: model).map { engine.store.lend(tables[$0]!, to: worker.storeID) }
        try send(segmentsOf: loans, to: worker)
        for (index, loan) in loans.enumerated() {
            try worker.channel.send(Datagram.table(input: index), [loan.descriptor])
        }
        let limits = engine.arenaLimits(memoryBytesMax: worker.grant?.memoryBytesMax.map { UInt64($0) })
        let device = engine.kernelZeroDevice
        // Moved memory is appended. Huge pages keep their place in 2 MiB, so there may be as many holes as pages.
        let output = try engine.store.makeOutputSegment(
            bytes: limits.fileBytes, for: worker.storeID, growthBytesMax: device == nil ? 0 : limits.fileBytes,
            expectedBytes: engine.forecast.outputBytes(of: outputKey(of: model)), model: outputKey(of: model))
        worker.segment = output.id
        worker.recycledBytes = UInt64(output.recycledBytes)
        let task = DescriptorBox(try FileDescriptor.sealedMemory(named: "task", self.task(of: model).utf8))
        let (code, files) = (try code(for: model), try files(for: model))
        try worker.channel.send(
            Datagram.run(
                arenaFileBytes: UInt64(output.bytes), arenaBytesMax: limits.bytesMax,
                decacheBytesMax: usesDeCache(model) ? decacheBytesMax : nil, hasCode: code != nil,
                hasFiles: files != nil),
            [task, output.file] + [code, files, device].compactMap(\.self))
        // The pool is smaller now if the output was recycled.
        engine.tellPool()
    }

    /// Sends the segments of tables, each once.
    func send(segmentsOf loans: [Loan], to worker: WorkerProcess) throws {
        var segments: [SegmentID: DescriptorBox] = [:]
        for loan in loans {
            for segment in loan.segments { segments[segment.id] = segment.file }
        }
        let ids = segments.keys.sorted()
        for start in stride(from: 0, to: ids.count, by: Limit.descriptorsMax) {
            let chunk = ids[start..<min(start + Limit.descriptorsMax, ids.count)]
            try worker.channel.send(Datagram.segments(chunk.map(\.rawValue)), chunk.map { segments[$0]! })
        }
    }

    /// The name of a model's output across all runs and projects.
    func outputKey(of model: Int) -> String { plan.project.folder + "\0" + name(of: model) }

    private func task(of model: Int) -> JSONValue {
        guard isPreview(model) else { return plan.models[model].task }
        return [
            "kind": "preview", "rows": .integer(Int64(options.previewRows)),
            "width": .integer(Int64(options.previewWidth)),
        ]
    }

    /// Where a scan gets its files; nil for other models, and without a sandbox, where it opens them by their names.
    private func files(for model: Int) throws -> DescriptorBox? {
        guard engine.options.isSandboxed, !isPreview(model), plan.models[model].kind == "scan" else { return nil }
        let files = plan.models[model].scannedFiles
        guard files.count == plan.models[model].task["files"]?.array?.count else { return nil }
        return try engine.fileBroker.offer(
            files.map { BrokeredFile(path: $0.path, device: $0.device, inode: $0.inode) })
    }

    /// The project's code, one file for all workers of the run; nil for a model that has none.
    private func code(for model: Int) throws -> DescriptorBox? {
        guard !isPreview(model), plan.models[model].kind == "python", let handedOver = plan.handedOver,
            !handedOver.isEmpty
        else { return nil }
        if let codeFile { return codeFile }
        let file = DescriptorBox(try FileDescriptor.sealedMemory(named: "code", [UInt8](handedOver)))
        codeFile = file
        return file
    }
}
