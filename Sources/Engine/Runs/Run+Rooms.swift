import Scheduler
import Store
import System

/// Files on the disk that tables are spilled to, for models whose results come batch by batch: what such a model returns need not fit
/// into memory.
extension Run {
    /// How often the size of a room is looked at, in seconds.
    private static let roomSeconds = 0.25
    /// A room may take all but one part in so many of what its disk had free when it was given.
    private static let roomParts: UInt64 = 10

    /// A worker wants a file to write its result to.
    func wantsRoom(_ worker: WorkerProcess) {
        guard !isPreview(worker.model), plan.models[worker.model].kind == "python", worker.wantRoom() else {
            return misbehaved(worker, "it asked for a file that it can't have")
        }
        guard let folder = engine.mover.spillFolder else { return give(nil, to: worker) }
        engine.background.begin(.spill, of: number) { () -> Result<NewRoom, StoreError> in
            do throws(StoreError) {
                return .success(try folder.makeRoom())
            } catch {
                return .failure(error)
            }
        } then: { [weak self] made in
            // It may have been killed meanwhile.
            guard let self, scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
            switch made {
            case .success(let room): give(room, to: worker)
            case .failure(let error): feed(.sendFailed(worker.id, reason: "\(error)"))
            }
        }
    }

    private func give(_ room: NewRoom?, to worker: WorkerProcess) {
        do {
            let id = room.map { engine.store.add(room: $0, for: worker.storeID) }
            try worker.give(room: room?.file, as: id)
            if let room { watch(room, of: worker) }
        } catch {
            feed(.sendFailed(worker.id, reason: "\(error)"))
        }
    }

    /// Ends a worker that leaves its disk too little: it is not the worker that is asked to keep to that.
    private func watch(_ room: NewRoom, of worker: WorkerProcess) {
        engine.timers.after(seconds: Self.roomSeconds) { [weak self] in
            guard let self, scheduler.isAlive(worker.id), workers[worker.id] != nil else { return }
            let bytesMax = room.bytesFree - room.bytesFree / Self.roomParts
            if UInt64(engine.store.roomBytes(of: worker.storeID)) > bytesMax {
                let text =
                    "its result takes more than the disk of \(room.folder) has for it, \(bytesMax >> 20) MiB: free some, "
                    + "or name a larger one with --spill-dir"
                return feed(.sendFailed(worker.id, reason: text))
            }
            watch(room, of: worker)
        }
    }

    /// Where a model's disk is that was full, for a message.
    var roomText: String {
        guard let folder = engine.mover.spillFolder else { return "" }
        return ": there is no room left in \(folder.path); free some, or name another folder with --spill-dir"
    }
}
