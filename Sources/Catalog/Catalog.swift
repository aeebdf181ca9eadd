import System

/// A catalog: tables in namespaces, each of them a set of immutable Parquet files, which change together or not at all.
///
/// All calls may wait for a disk: they are for threads that may. A catalog may be used by any number of processes and threads at once.
public protocol Catalog: Sendable {
    /// Where it is, for messages and for plans: absolute.
    var place: String { get }

    /// The tables as they are now. Their files stay as long as the snapshot lives, also where later commits take them out of their
    /// tables.
    func read() throws(CatalogError) -> CatalogSnapshot

    /// Makes files for rows that are to be published. A file that no commit takes in is gone with its last owner.
    func makeFiles(_ count: Int) throws(CatalogError) -> [StagedFile]

    /// Publishes: all changes, or none.
    ///
    /// - Parameters:
    ///   - changes: what is to become of tables, each once. The files of a change have no path yet.
    ///   - files: the files of each change, in the order of its `files`.
    ///   - isWanted: is asked once more before anything can be seen by others; false: nothing is published.
    /// - Returns: the changes as they were made, with the names and the sizes of their files.
    func commit(
        _ changes: [TableChange], _ files: [[StagedFile]], isWanted: @escaping () -> Bool
    ) throws(CatalogError) -> [TableChange]
}

/// The tables of a catalog at one moment, and what keeps their files.
public struct CatalogSnapshot: Sendable {
    /// The tables.
    public let state: CatalogState
    /// Keeps the files of the state's tables; nil where nothing has to, or can.
    public let pin: (any Sendable)?

    /// A snapshot.
    public init(state: CatalogState, pin: (any Sendable)? = nil) {
        self.state = state
        self.pin = pin
    }
}

/// A file that is written to and belongs to no table yet.
public final class StagedFile: Sendable {
    let pending: PendingFile

    init(_ pending: PendingFile) { self.pending = pending }

    /// The file, for reading and writing.
    public var file: DescriptorBox { pending.file }
}
