import Synchronization
import System

/// What a move did.
public struct MoveFigures: Sendable, Equatable {
    /// What was written where the table is now, in bytes: of a spill, the size of its file.
    public var bytes = 0
    /// The memory that is free once the work has let go of it, in bytes. What other tables name, and somebody reads, is not.
    public var freedBytes = 0
    /// How long it took; of a spill, until the disk had it all. In nanoseconds.
    public var nanoseconds: UInt64 = 0
    /// What is left of a spill's file in the page cache, in bytes.
    public var cachedBytes = 0
    /// Tables that name the new place now.
    public var tables = 0

    /// How fast it was, in bytes per second.
    public var bytesPerSecond: Double { nanoseconds == 0 ? 0 : Double(bytes) * 1e9 / Double(nanoseconds) }
}

/// How a move ended.
public enum MoveOutcome: Sendable {
    /// The table is in its new place.
    case moved(MoveFigures)
    /// Somebody got the table meanwhile, or nobody needs it any more: it is where it was, or gone.
    case superseded
    /// It could not be moved; the table is where it was.
    case failed(StoreError)
}

/// A table on its way to another place: to a disk, back into memory, or into a smaller segment. It is what a thread of its own needs
/// for that, and uses nothing of the store.
public final class MoveWork: Sendable {
    /// Where to.
    enum Purpose: Sendable {
        case spill, restore, compaction
    }

    /// What was made in the new place.
    struct Made: Sendable {
        let segment: NewSegment
        var figures: MoveFigures
    }

    /// The table; of a compaction, one of those that move.
    public let table: TableID
    /// What the new place will take, in bytes.
    public let bytes: Int

    let purpose: Purpose
    let movers: Movers
    /// The segment that all its tables have to leave, or none may.
    let vacated: SegmentID?
    private let make: @Sendable () throws(StoreError) -> Made
    private let result = Mutex<Result<Made, StoreError>?>(nil)

    init(
        _ purpose: Purpose, _ movers: Movers, bytes: Int, vacated: SegmentID? = nil,
        _ make: @escaping @Sendable () throws(StoreError) -> Made
    ) {
        self.purpose = purpose
        self.movers = movers
        self.bytes = bytes
        self.vacated = vacated
        self.make = make
        table = movers.table
    }

    /// Writes the table to its new place; of a spill, until the disk has it. On a thread that may wait; once.
    ///
    /// What fails here is said again by the store's `finish`, which has to be called in any case.
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

    /// Lets go of the files that the table was in; what nobody names any more of them is free then. It happens by itself with the
    /// end of the work, and takes the time that freeing takes: on any thread.
    public func letGo() { movers.files.letGo() }

    /// What came of `run`; nil when it was never called.
    func take() -> Result<Made, StoreError>? {
        result.withLock { result in
            defer { result = nil }
            return result
        }
    }
}

extension SegmentStore {
    /// Ends a move, whatever came of it: the table and those that share its bytes name the new place, and the memory and the room on a disk
    /// that nobody else names are free once the work has let go of them (`letGo`). Sealed segments of which something is still named
    /// keep their memory until a compaction.
    ///
    /// - Parameter work: when its `run` has returned or was never called.
    public func finish(_ work: MoveWork) -> MoveOutcome {
        if let vacated = work.vacated { segments[vacated]?.isBeingRewritten = false }
        let mayMove: Bool
        do throws(StoreError) {
            mayMove = try unpin(work.movers)
        } catch {
            // Released meanwhile; its memory goes with the next release.
            return .failed(error)
        }
        switch work.take() {
        case .failure(let error)?: return .failed(error)
        case .success(var made)? where mayMove && canVacate(work.vacated, made.segment):
            (made.figures.freedBytes, made.figures.tables) = adopt(made.segment)
            if work.purpose == .restore { restoredBytes += made.figures.bytes }
            return .moved(made.figures)
        default: return .superseded
        }
    }

    /// Whether no table would stay in a segment that is to be left.
    private func canVacate(_ vacated: SegmentID?, _ new: NewSegment) -> Bool {
        guard let vacated else { return true }
        guard let segment = segments[vacated] else { return false }
        let current = current(new)
        return segment.tables.allSatisfy { current[$0]?.named[vacated] == nil && current[$0] != nil }
    }
}
