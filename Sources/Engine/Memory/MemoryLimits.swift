import Sandbox
import Store
import System

/// How much memory an engine may take, and where its tables may go instead.
extension Engine {
    /// The most memory that all runs together should take: the user's limit, else most of the memory there is.
    static func memoryBytesMax(_ options: EngineOptions) -> UInt64? {
        if let bytes = options.memoryBytesMax { return bytes }
        // The rest is for the system, and for needs that can't be foreseen.
        return memoryBytesThere.map { UInt64($0) / 5 * 4 }
    }

    /// The memory of this machine, or the part of it that a control group of this process may have (as in a container), in bytes;
    /// as it was when first asked for.
    static let memoryBytesThere: Int? = (try? Machine.memory()).map {
        min($0.bytesTotal, Int(clamping: CgroupPlace.memoryBytesMax() ?? .max))
    }

    /// Why limits of memory are not kept by the kernel, and what to do; nil when they are.
    public var memoryLimitProblem: String? {
        guard cgroups == nil else { return nil }
        let problem = CgroupPlace.problem()
        return "memory limits are not kept by the kernel: \(problem.reason); \(problem.remedy)"
    }

    /// The folder that tables are spilled to: the user's, or a usual place if that is on a disk.
    ///
    /// - Throws: when the user's folder can't be used.
    static func spillFolder(_ options: EngineOptions, _ environment: [String: String]) throws -> SpillFolder? {
        if let path = options.spillFolder { return try SpillFolder(path) }
        for path in [environment["TMPDIR"] ?? "", "/var/tmp"] where !path.isEmpty {
            if let folder = try? SpillFolder(path) { return folder }
        }
        return nil
    }
}
