import System

/// How an engine runs models.
public struct EngineOptions: Sendable {
    /// Whether workers are isolated. Off only by the user's explicit choice.
    public var isSandboxed = true
    /// Whether the arena library is preloaded into workers.
    public var hasArena = true
    /// Whether memory is moved by KernelZero where the kernel has it.
    public var hasKernelZero = true
    /// Whether models that do not need a failed one still run.
    public var keepsGoing = false
    /// How many models run at once.
    public var slots = Machine.processorCount()
    /// The most memory one worker may take, in bytes; nil: what the machine has.
    public var memoryBytesMax: UInt64?
    /// Where final tables are written to, absolute; nil: nowhere.
    public var exportFolder: String?
    /// Rows of each final table that the report's preview shows; 0: no preview.
    public var previewRows = 10
    /// Columns of the terminal the preview is made for.
    public var previewWidth = 100

    /// The defaults.
    public init() {}
}
