import Glibc
import SIPC
import Store
import System

/// A folder of results that outlive the engine: Arrow IPC files, each named by its key.
///
/// Any number of engines may use it at once: a file gets its name when it is whole, and is never changed.
struct SavedResults: Sendable {
    /// Where they are, absolute.
    let folder: String

    /// The folder, made where there is none; the longest unused results beyond `bytesMax` go.
    ///
    /// - Throws: when no file can be made in it.
    init(_ folder: String) throws {
        if !Files.exists(folder) { try Files.makeDirectory(folder, mode: 0o700) }
        guard let path = Path.resolved(folder), access(path, W_OK | X_OK) == 0 else {
            throw EngineError.options("--cache-dir \(folder): no files can be made there")
        }
        self.folder = path
        prune()
    }

    func path(_ key: String) -> String { "\(folder)/\(key).arrow" }

    /// The saved result, open for reading; nil where there is none.
    func open(_ key: String) -> DescriptorBox? {
        // It is used: the pruning sees it by the file's time.
        utimes(path(key), nil)
        return try? DescriptorBox(FileDescriptor.open(path(key)))
    }

    /// Removes a result that can't be read.
    func remove(_ key: String) { try? Files.remove(path(key)) }

    /// Lets the results have half of what the disk has for them.
    func prune() {
        var entries: [(path: String, bytes: UInt64, usedAt: Int)] = []
        for name in (try? Files.list(folder)) ?? [] where name.hasSuffix(".arrow") {
            var status = stat()
            guard stat("\(folder)/\(name)", &status) == 0 else { continue }
            entries.append(("\(folder)/\(name)", UInt64(status.st_blocks) * 512, status.st_mtim.tv_sec))
        }
        var disk = statvfs()
        guard statvfs(folder, &disk) == 0 else { return }
        var held = entries.reduce(0) { $0 + $1.bytes }
        let bytesMax = (UInt64(disk.f_bavail) * UInt64(disk.f_frsize) + held) / 2
        for entry in entries.sorted(by: { $0.usedAt < $1.usedAt }) where held > bytesMax {
            guard (try? Files.remove(entry.path)) != nil else { continue }
            held -= entry.bytes
        }
    }
}

extension Engine {
    /// The result with that key: one that is kept, or one of the saved ones that were found to be whole.
    func result(_ key: String, _ whole: [String: DescriptorBox]) -> ResultsCache.Entry? {
        results[key] ?? whole[key].flatMap { takeSaved($0, key) }
    }

    /// Takes in a saved result that was found to be whole; nil where it can't be read.
    private func takeSaved(_ file: DescriptorBox, _ key: String) -> ResultsCache.Entry? {
        do {
            let table = try store.takeSaved(file)
            let descriptor = try Descriptor(reading: store.descriptor(of: table))
            var counts = ByteCounts()
            counts.resharedBytes = UInt64(store.namedBytes(of: table))
            let entry = ResultsCache.Entry(
                table: table, output: RunReport.Output(rows: Int64(clamping: descriptor.rows), counts: counts))
            hold(table, by: .result(key), seconds: 0)
            _ = results.add(entry, key: key)
            return entry
        } catch {
            saved?.remove(key)
            return nil
        }
    }

    /// Saves a model's result for later engines, on a thread of its own.
    func save(_ table: TableID, key: String) {
        guard let saved, !Files.exists(saved.path(key)),
            let work = try? store.beginSave(table, as: saved.path(key))
        else { return }
        savesLeft += 1
        share(table, with: .save(key))
        errands.begin { () -> StoreError? in
            do throws(StoreError) {
                try work.write()
                saved.prune()
                return nil
            } catch {
                return error
            }
        } then: { [weak self] error in
            guard let self else { return }
            savesLeft -= 1
            store.finishSave(work)
            endSave(of: table, key)
            // What would be much larger on a disk is no fault of anybody's.
            if let error, error.code != .unsuitable { noteOnce("results are not saved", error) }
        }
    }

    /// A table has been saved, or not; what it was held for is over, and it may be evicted.
    private func endSave(of table: TableID, _ key: String) {
        guard let holding = holdings[table] else { preconditionFailure("a table that is being saved is held") }
        let way = holding.waitingEviction
        holding.waitingEviction = nil
        let isLast = holding.holders.count == 1
        if let way, isLast { tell(.evictionFailed(holding.key, way)) }
        forget(table, by: .save(key))
        if let way, !isLast { evict(holding.key, way) }
        holdingsAreStale = true
        tellHoldings()
    }

    /// How long the end waits for somebody else who has the history locked, in seconds.
    private static let historySecondsMax = 0.5

    /// Waits until all results are saved, and for a moment for the history; or until a signal comes. What is not saved then leaves
    /// nothing behind.
    public func finishSaves(unless signals: SignalDescriptor, note: (String) -> Void) {
        var isInterrupted = false
        let watch = Watch(signals.raw) { _ in
            while (try? signals.next()) != nil { isInterrupted = true }
        }
        history?.save(by: errands)
        let historyDeadline = Deadline.after(seconds: Self.historySecondsMax)
        while !isInterrupted {
            let isWriting = history?.isWriting == true && MonotonicClock.nanoseconds() < historyDeadline
            guard savesLeft > 0 || isWriting else { break }
            waitAndHandle(beside: [watch])
        }
        for text in unsaid { note(text) }
        unsaid = []
        if let count = history?.unwrittenCount, count > 0, !isInterrupted {
            note("what \(count) models needed is not remembered: another process has the history locked")
        }
    }
}
