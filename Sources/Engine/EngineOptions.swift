import System

/// The options of an engine, which hold for all its runs.
public struct EngineOptions: Sendable {
    /// Whether workers are isolated. Off only by the user's explicit choice.
    public var isSandboxed = true
    /// Whether the arena library is preloaded into workers.
    public var hasArena = true
    /// Whether memory is moved by KernelZero where the kernel has it.
    public var hasKernelZero = true
    /// How many models run at once.
    public var slots = Machine.processorCount()
    /// The most memory that all runs may take together, in bytes; nil: most of what the machine has, and no hard limit.
    public var memoryBytesMax: UInt64?
    /// Which tables go, and how, when memory is short.
    public var eviction = EvictionPolicy.adaptive
    /// The folder on disk that tables are spilled to; nil: a usual one.
    public var spillFolder: String?
    /// Whether results are kept in memory for later runs.
    public var keepsResults = false
    /// The folder that results are kept in; nil: in memory only.
    public var cacheFolder: String?

    /// The defaults.
    public init() {}
}
