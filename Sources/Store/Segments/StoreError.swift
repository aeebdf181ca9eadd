import Glibc
import System

/// Why a table could not be published, or memory could not be given back.
public struct StoreError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Code: Sendable, Equatable {
        /// A worker named bytes it does not have.
        case badReference
        /// A worker changed its output segment in a way no worker may.
        case tampered
        /// A process of the producer still maps the output for writing.
        case stillMapped
        /// The disk that a table was to be spilled to has no room for it.
        case diskFull
        /// The table, or the folder, doesn't allow for what was asked.
        case unsuitable
        /// The kernel refused a call; `underlying` says which.
        case system
    }

    /// What kind of failure it is.
    public let code: Code
    /// The segment that was worked on; nil when there was none yet.
    public let segment: SegmentID?
    /// What was wrong, in a sentence.
    public let message: String
    /// The call that failed, if one did.
    public let underlying: SystemError?

    init(_ code: Code, _ segment: SegmentID?, _ message: String, underlying: SystemError? = nil) {
        self.code = code
        self.segment = segment
        self.message = message
        self.underlying = underlying
    }

    /// The failure of a call while something was being done to a segment.
    init(_ underlying: SystemError, _ segment: SegmentID?, while work: String) {
        let mapped = underlying.operation == .addSeals && underlying.errno == EBUSY
        self.init(mapped ? .stillMapped : .system, segment, work, underlying: underlying)
    }

    /// What went wrong while a table was written to a disk.
    init(writing work: String, _ error: any Error) {
        guard let error = error as? SystemError else {
            self.init(.unsuitable, nil, "\(work): \(error)")
            return
        }
        let isFull = error.errno == ENOSPC || error.errno == EDQUOT
        self.init(isFull ? .diskFull : .system, nil, work, underlying: error)
    }

    /// Names the segment, what was wrong, and the call that failed.
    public var description: String {
        let place = segment.map { "segment \($0): " } ?? ""
        return place + message + (underlying.map { ": \($0)" } ?? "")
    }
}

/// Runs system calls on a segment; the error says what was being done.
func onSegment<Value: ~Copyable>(
    _ segment: SegmentID?, _ work: String, _ body: () throws(SystemError) -> Value
) throws(StoreError) -> Value {
    do {
        return try body()
    } catch {
        throw StoreError(error, segment, while: work)
    }
}
