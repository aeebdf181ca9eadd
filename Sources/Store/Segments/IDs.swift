/// A segment's number: never 0 (which a worker uses for its own output) and never used twice by one store.
public struct SegmentID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number that SIPC descriptors carry.
    public let rawValue: UInt64

    /// A segment by its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The number.
    public var description: String { "\(rawValue)" }

    /// Orders segments by age.
    public static func < (left: SegmentID, right: SegmentID) -> Bool { left.rawValue < right.rawValue }
}

/// A published table's number: never used twice by one store.
public struct TableID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The number.
    public let rawValue: UInt64

    /// A table by its number.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The number.
    public var description: String { "\(rawValue)" }

    /// Orders tables by age.
    public static func < (left: TableID, right: TableID) -> Bool { left.rawValue < right.rawValue }
}

/// A worker's name, as the protocol gives it.
public struct BorrowerID: RawRepresentable, Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
    /// The name.
    public let rawValue: String

    /// A worker by its name.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// A worker by its name.
    public init(stringLiteral value: String) { rawValue = value }

    /// The name.
    public var description: String { rawValue }
}

/// How published bytes are kept from changing.
public enum Lock: Sendable, Equatable {
    /// The memory file is sealed for good. It works for any user; no page can be given back before the whole segment goes.
    case sealed
    /// Readers get read-only descriptors of a file that only the engine's user may open for writing. It needs workers that
    /// run as other users; pages can be given back, and the file can be used again.
    case readOnlyDescriptor
}
