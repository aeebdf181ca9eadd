import Synchronization
import System

/// The figures of a finished move.
public struct MoveFigures: Sendable, Equatable {
    /// The bytes that were written at the table's new place; for a spill, the size of its file.
    public var bytes = 0
    /// The memory that is free once the work has let go of it, in bytes. Memory that other tables name, and somebody reads, is not.
    public var freedBytes = 0
    /// How long it took, in nanoseconds; for a spill, until the disk had everything.
    public var nanoseconds: UInt64 = 0
    /// The bytes of a spill's file that are left in the page cache.
    public var cachedBytes = 0
    /// The number of tables that name the new place now.
    public var tables = 0

    /// How fast it was, in bytes per second.
    public var bytesPerSecond: Double { nanoseconds == 0 ? 0 : Double(bytes) * 1e9 / Double(nanoseconds) }
}

/// How a move ended.
public enum MoveOutcome: Sendable {
    /// The table is in its new place.
    case moved(MoveFigures)
    /// The table was lent or released meanwhile: it is where it was, or gone.
    case superseded
    /// It could not be moved; the table is where it was.
    case failed(StoreError)
}

/// A table on its way to another place: to a disk, back into memory, or into a smaller segment. It holds everything that a thread
/// of its own needs for that, and uses nothing of the store.
public final class MoveWork: Sendable {
    /// The kind of move.
    enum Purpose: Sendable {
        case spill, restore, compaction
    }

    /// The new segment, which the store hasn't taken in yet.
    struct Made: Sendable {
        let segment: NewSegment
        var figures: MoveFigures
    }

    /// The table; for a compaction, one of those that move.
    public let table: TableID
    /// The bytes that the new place will take.
    public let bytes: Int

    let purpose: Purpose
    let movers: MovingTables
    /// The segment that all its tables must leave, or none may; nil for a move of one table.
    let vacated: SegmentID?
    private let make: @Sendable () throws(StoreError) -> Made
    private let result = Mutex<Result<Made, StoreError>?>(nil)

    init(
        _ purpose: Purpose, _ movers: MovingTables, bytes: Int, vacated: SegmentID? = nil,
        _ make: @escaping @Sendable () throws(StoreError) -> Made
    ) {
        self.purpose = purpose
        self.movers = movers
        self.bytes = bytes
        self.vacated = vacated
        self.make = make
        table = movers.table
    }

    /// Writes the table to its new place; for a spill, until the disk has it. On a thread that may wait; once.
    ///
    /// An error thrown here is returned again by the store's `finish`, which has to be called in any case.
    ///
    /// - Throws: `diskFull`, `unsuitable`, `system`.
    public func run() throws(StoreError) {
        do throws(StoreError) {
            let made = try make()
            result.withLock { $0 = .success(made) }
        } catch {
            result.withLock { $0 = .failure(error) }
            throw error
        }
    }

    /// Lets go of the files that the table was in, so that bytes nobody names any more are freed. The end of the work does the
    /// same. It takes the time that freeing takes: on any thread.
    public func letGo() { movers.files.letGo() }

    /// Takes the result of `run`; nil when that was never called.
    func take() -> Result<Made, StoreError>? {
        result.withLock { result in
            defer { result = nil }
            return result
        }
    }
}

extension SegmentStore {
    /// Ends a move, whatever came of it: the table and those that share its bytes name the new place. Memory and room on a disk
    /// that no other table names are free once the work has let go of them (`letGo`). Sealed segments of which some bytes are
    /// still named keep their memory until a compaction.
    ///
    /// - Parameter work: a work whose `run` has returned or was never called.
    public func finish(_ work: MoveWork) -> MoveOutcome {
        if let vacated = work.vacated { segments[vacated]?.isBeingRewritten = false }
        let mayMove: Bool
        do throws(StoreError) {
            mayMove = try unpin(work.movers)
        } catch {
            // The table was released meanwhile; memory that couldn't be freed now goes with the next release.
            return .failed(error)
        }
        switch work.take() {
        case .failure(let error)?: return .failed(error)
        case .success(var made)? where mayMove && canVacate(work.vacated, made.segment):
            (made.figures.freedBytes, made.figures.tables) = install(made.segment)
            if work.purpose == .restore { restoredBytes += made.figures.bytes }
            return .moved(made.figures)
        default: return .superseded
        }
    }

    /// Whether the move leaves no table behind in the segment that is to be vacated.
    private func canVacate(_ vacated: SegmentID?, _ new: NewSegment) -> Bool {
        guard let vacated else { return true }
        guard let segment = segments[vacated] else { return false }
        let current = current(new)
        return segment.tables.allSatisfy { current[$0]?.named[vacated] == nil && current[$0] != nil }
    }
}
