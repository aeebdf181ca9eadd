/// What a scan had from DeCache, and gave to it.
public struct DeCacheReport: Codable, Sendable, Equatable {
    /// Columns of row groups that it wanted.
    public var wantedUnits: Int64
    /// Those of them that were there.
    public var reusedUnits: Int64
    /// Those of them that it decoded.
    public var decodedUnits: Int64
    /// Bytes of what it gave.
    public var piecesBytes: Int64

    enum CodingKeys: String, CodingKey {
        case wantedUnits = "wanted_units"
        case reusedUnits = "reused_units"
        case decodedUnits = "decoded_units"
        case piecesBytes = "pieces_bytes"
    }
}
