/// The units that a scan had from DeCache and gave to it.
public struct DeCacheReport: Codable, Sendable, Equatable {
    /// Units (columns of row groups) that it wanted.
    public var wantedUnits: Int64
    /// The part of `wantedUnits` that was there.
    public var reusedUnits: Int64
    /// The part of `wantedUnits` that it decoded.
    public var decodedUnits: Int64
    /// Bytes of the pieces that it gave.
    public var piecesBytes: Int64

    /// The names in a report are those of the worker's message.
    typealias CodingKeys = Op.DeCacheCount
}
