import System

/// How an engine is made: what holds for all its runs.
public struct EngineOptions: Sendable {
    /// Whether workers are isolated. Off only by the user's explicit choice.
    public var isSandboxed = true
    /// Whether the arena library is preloaded into workers.
    public var hasArena = true
    /// Whether memory is moved by KernelZero where the kernel has it.
    public var hasKernelZero = true
    /// How many models run at once.
    public var slots = Machine.processorCount()
    /// The most memory a worker may take whose model and run say nothing else, in bytes; nil: what the machine has.
    public var memoryBytesMax: UInt64?

    /// The defaults.
    public init() {}
}
