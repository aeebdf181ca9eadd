import Store
import System

/// The tables that programs outside the engine were handed, each held until its program has let go of it.
///
/// A program maps a table's files and closes them, and its libraries unmap them when the last buffer is gone, wherever that is. So that nobody
/// has to say so, each file that is handed out is an open file description of its own, with a shared lock: the kernel ends the lock with
/// the last descriptor and the last mapping, also when the program is killed or has forked. The engine looks from time to time whether it
/// could lock the file for itself.
///
/// Owns the record of the leases; the registry has a holder for each. Two leases of one segment end together. Used on the engine's thread.
final class TableLeases {
    private let store: SegmentStore
    private let tables: TableRegistry
    private let mover: TableMover
    private let timers: Timers
    private var leases: [Int: Lease] = [:]
    private var count = 0
    private var isWatching = false

    /// How often the engine looks, in seconds.
    private static let period = 0.25

    /// A table that is lent.
    private struct Lease {
        let table: TableID
        /// The descriptors that the engine's readers share.
        let readers: [DescriptorBox]
    }

    init(_ store: SegmentStore, _ tables: TableRegistry, _ mover: TableMover, _ timers: Timers) {
        self.store = store
        self.tables = tables
        self.mover = mover
        self.timers = timers
    }

    /// Lends a table that is in memory, or may be read where it is.
    ///
    /// - Throws: when a file can't be opened again or locked; the table is then not lent.
    func lend(_ table: TableID, as model: String, rows: Int64) throws -> HandedTable {
        count += 1
        let number = count
        let loan = mover.lend(table, to: Self.borrower(number))
        tables.retain(table, by: .lease(number))
        leases[number] = Lease(table: table, readers: loan.segments.map(\.file))
        do {
            let files = try loan.segments.map { (id: $0.id, file: try Self.lockedFile($0.file)) }
            watch()
            return HandedTable(model: model, rows: rows, descriptor: loan.descriptor, segments: files)
        } catch {
            end(number)
            throw error
        }
    }

    private static func borrower(_ number: Int) -> BorrowerID { BorrowerID(rawValue: "lease-\(number)") }

    /// The same file, opened once more and locked.
    private static func lockedFile(_ reader: DescriptorBox) throws -> DescriptorBox {
        clearLock(reader)
        let file = DescriptorBox(try reader.descriptor.reopenReadOnly())
        guard try file.descriptor.shareLockIfFree() else { throw EngineError.protocolBroken("a model keeps it locked") }
        return file
    }

    /// Takes away a lock that a worker may have left on the open file which it shared with the engine: looking at it does that.
    private static func clearLock(_ reader: DescriptorBox) { _ = try? reader.descriptor.isLocked() }

    private func watch() {
        guard !isWatching, !leases.isEmpty else { return }
        isWatching = true
        timers.after(seconds: Self.period) { [weak self] in
            guard let self else { return }
            isWatching = false
            endWhatIsOver()
            watch()
        }
    }

    /// Takes back the tables that nobody has any more. A run that begins asks for this: its caller may have let go of tables just before, and
    /// counts on their memory.
    func endWhatIsOver() {
        for number in leases.keys.sorted() where isOver(leases[number]!) { end(number) }
    }

    /// Whether nobody has any of its files open or mapped.
    private func isOver(_ lease: Lease) -> Bool {
        lease.readers.allSatisfy { reader in
            Self.clearLock(reader)
            // The lock that is taken here ends with the descriptor.
            guard let file = try? DescriptorBox(reader.descriptor.reopenReadOnly()) else { return false }
            return (try? file.descriptor.lockIfFree()) ?? false
        }
    }

    private func end(_ number: Int) {
        guard let lease = leases.removeValue(forKey: number) else { return }
        do {
            try store.end(Self.borrower(number))
        } catch {
            tables.users?.note(once: "memory of a table that was handed over was not given back", error)
        }
        tables.releaseIfHeld(lease.table, by: .lease(number))
    }
}
