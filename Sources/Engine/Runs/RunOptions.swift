/// The options of one run. They travel from a client to the engine that serves it.
public struct RunOptions: Codable, Sendable, Equatable {
    /// The run's id, by which its job is remembered; nil: the engine gives it one.
    public var id: String?
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
    /// Runs of a higher priority are served before it: from `priorities`.
    public var priority = 5
    /// Whether the tables that it publishes are published together at its end, or else each as soon as it may be.
    public var isTransactional = true
    /// Where final tables are written to as Arrow IPC streams, absolute; nil: nowhere.
    public var exportFolder: String?
    /// Where the plan's sinks write their files, absolute; nil: nowhere.
    public var sinkFolder: String?
    /// Whether its observer is handed the final tables themselves.
    public var handsTables = false
    /// Whether its user is told where they were written to.
    public var notesExports = true
    /// Rows of each final table that the report's preview shows; 0: no preview.
    public var previewRows = 10
    /// Whether it shows the last rows, not the first.
    public var previewsTail = false
    /// Columns of the terminal the preview is made for.
    public var previewWidth = 100

    /// What a priority can be.
    public static let priorities = 1...10
    /// The priority of a run that lets interactive ones go first.
    public static let batchPriority = 1

    /// The defaults.
    public init() {}

    enum CodingKeys: String, CodingKey {
        case id, slots, priority
        case keepsGoing = "keeps_going"
        case memoryBytesMax = "memory_bytes_max"
        case usesCache = "uses_cache"
        case usesDeCache = "uses_decache"
        case handsTables = "hands_tables"
        case notesExports = "notes_exports"
        case isTransactional = "is_transactional"
        case exportFolder = "export_folder"
        case sinkFolder = "sink_folder"
        case timeoutSeconds = "timeout_s"
        case previewRows = "preview_rows"
        case previewsTail = "previews_tail"
        case previewWidth = "preview_width"
    }

    /// Checks what a client may have asked for that makes no sense.
    func check() throws(Malformed) {
        guard slots ?? 1 >= 1 else { throw Malformed("a run without a slot") }
        guard memoryBytesMax ?? 1 >= 1 else { throw Malformed("a run without memory") }
        guard id.map({ Job.isID($0) }) ?? true else { throw Malformed("a run whose id can't be one") }
        guard Self.priorities.contains(priority) else { throw Malformed("a run with a priority that there is not") }
        guard [exportFolder, sinkFolder].allSatisfy({ $0?.hasPrefix("/") ?? true }) else {
            throw Malformed("a folder to export to that is not absolute")
        }
    }
}
