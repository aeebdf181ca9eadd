/// The options of one run. They travel from a client to the engine that serves it.
public struct RunOptions: Codable, Sendable, Equatable {
    /// Whether models that do not need a failed one still run.
    public var keepsGoing = false
    /// How many of its models run at once; nil: as many as the engine allows.
    public var slots: Int?
    /// The most memory that it may take, its tables included, in bytes; nil: as much as the engine allows.
    public var memoryBytesMax: UInt64?
    /// The most seconds that a model may run which says nothing itself; nil: what the project says.
    public var timeoutSeconds: Double?
    /// Whether results are taken from earlier runs, and kept for later ones.
    public var usesCache = true
    /// Whether the columns that its scans decode are shared with other scans.
    public var usesDeCache = true
    /// Whether it gives way to interactive runs.
    public var isBatch = false
    /// Whether the tables that it publishes are published together at its end, or else each as soon as it may be.
    public var isTransactional = true
    /// Where final tables are written to, absolute; nil: nowhere.
    public var exportFolder: String?
    /// Rows of each final table that the report's preview shows; 0: no preview.
    public var previewRows = 10
    /// Columns of the terminal the preview is made for.
    public var previewWidth = 100

    /// The defaults.
    public init() {}

    enum CodingKeys: String, CodingKey {
        case slots
        case keepsGoing = "keeps_going"
        case memoryBytesMax = "memory_bytes_max"
        case usesCache = "uses_cache"
        case usesDeCache = "uses_decache"
        case isBatch = "is_batch"
        case isTransactional = "is_transactional"
        case exportFolder = "export_folder"
        case timeoutSeconds = "timeout_s"
        case previewRows = "preview_rows"
        case previewWidth = "preview_width"
    }

    /// Checks what a client may have asked for that makes no sense.
    func check() throws(Malformed) {
        guard slots ?? 1 >= 1 else { throw Malformed("a run without a slot") }
        guard memoryBytesMax ?? 1 >= 1 else { throw Malformed("a run without memory") }
        guard exportFolder?.hasPrefix("/") ?? true else {
            throw Malformed("a folder to export to that is not absolute")
        }
    }
}
