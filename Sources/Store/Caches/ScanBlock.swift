/// A file as it was at one time. Equal identities: the same content, as far as a file system tells.
public struct FileIdentity: Hashable, Sendable {
    /// Where it is: absolute, links followed.
    public let path: String
    /// The device that holds it.
    public let device: UInt64
    /// Its number there.
    public let inode: UInt64
    /// Its size.
    public let bytes: UInt64
    /// When its content was changed, since 1970.
    public let mtimeNanoseconds: Int64
    /// When anything of it was changed, since 1970. Nobody can set it.
    public let ctimeNanoseconds: Int64

    /// A file's identity by its parts.
    public init(
        path: String, device: UInt64, inode: UInt64, bytes: UInt64, mtimeNanoseconds: Int64, ctimeNanoseconds: Int64
    ) {
        self.path = path
        self.device = device
        self.inode = inode
        self.bytes = bytes
        self.mtimeNanoseconds = mtimeNanoseconds
        self.ctimeNanoseconds = ctimeNanoseconds
    }
}

/// Some columns and some row groups of one file, decoded in one way: what scans ask for, and what pieces hold.
public struct ScanBlock: Sendable, Equatable {
    /// The file.
    public let file: FileIdentity
    /// How its columns are decoded; compared, and nothing else.
    public let read: String
    /// The columns' names: at least one, none twice.
    public let columns: [String]
    /// The numbers of the row groups: at least one.
    public let groups: RangeSet

    /// A block as a worker names it. Nil when it is invalid: no column, a column twice, no group, or ranges of groups that are
    /// empty, negative or not in ascending order.
    public init?(file: FileIdentity, read: String, columns: [String], groups: [Range<Int>]) {
        guard !columns.isEmpty, Set(columns).count == columns.count, let first = groups.first, first.lowerBound >= 0,
            groups.allSatisfy({ !$0.isEmpty }),
            zip(groups, groups.dropFirst()).allSatisfy({ $0.upperBound <= $1.lowerBound })
        else { return nil }
        self.file = file
        self.read = read
        self.columns = columns
        self.groups = RangeSet(groups)
    }

    /// How many units it has: columns of a row group.
    public var units: Int {
        let (units, overflow) = columns.count.multipliedReportingOverflow(by: groups.count)
        return overflow ? .max : units
    }
}

/// A set of units: columns of row groups of files, each decoded in one way.
struct ScanUnits: Equatable {
    /// A file, and how it is decoded.
    struct Place: Hashable {
        let file: FileIdentity
        let read: String

        init(_ block: ScanBlock) {
            file = block.file
            read = block.read
        }
    }

    /// Row groups by column; no column is without a group, and no place without a column.
    private var columns: [Place: [String: RangeSet]] = [:]

    var isEmpty: Bool { columns.isEmpty }

    var count: Int {
        columns.values.reduce(0) { $1.values.reduce($0) { $0 &+ $1.count } }
    }

    /// Adds a block; units that are in the set already stay.
    mutating func insert(_ block: ScanBlock) {
        for column in block.columns {
            columns[Place(block), default: [:]][column, default: RangeSet()].formUnion(block.groups)
        }
    }

    /// Adds all of another set.
    mutating func formUnion(_ other: ScanUnits) {
        for (place, named) in other.columns {
            columns[place, default: [:]].merge(named) { $0.union($1) }
        }
    }

    /// Takes a block out, and says whether anything of it was there.
    mutating func remove(_ block: ScanBlock) -> Bool {
        let place = Place(block)
        guard var named = columns[place] else { return false }
        var isTaken = false
        for column in block.columns {
            guard let groups = named[column] else { continue }
            let rest = groups.subtracting(block.groups)
            isTaken = isTaken || rest != groups
            named[column] = rest.isEmpty ? nil : rest
        }
        columns[place] = named.isEmpty ? nil : named
        return isTaken
    }

    /// Whether all of a block is in the set.
    func holds(_ block: ScanBlock) -> Bool {
        guard let named = columns[Place(block)] else { return false }
        return block.columns.allSatisfy { column in
            named[column].map { block.groups.subtracting($0).isEmpty } ?? false
        }
    }

    /// Whether the two have a unit in common.
    func meets(_ other: ScanUnits) -> Bool {
        columns.contains { place, named in
            guard let theirs = other.columns[place] else { return false }
            return named.contains { column, groups in
                theirs[column].map { groups.subtracting($0) != groups } ?? false
            }
        }
    }
}

extension RangeSet {
    /// How many numbers are in it.
    var count: Int { bytes }

    /// Adds all of another set.
    mutating func formUnion(_ other: RangeSet) { self = union(other) }
}
