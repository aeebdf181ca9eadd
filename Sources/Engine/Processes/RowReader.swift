import Glibc
import Sandbox
import System

/// Makes text of the rows of a table in a file, in a process without any right: what is in the file was made by a stranger's code.
public struct RowReader {
    /// How rows are written.
    public enum Format: String, Sendable {
        /// Aligned, for people.
        case table
        /// With a line of names.
        case csv
        /// An object per line.
        case json
    }

    private static let memoryBytesMax: UInt64 = 4 << 30
    private static let errorBytesMax = 2000

    private let installation: Installation
    private let isSandboxed: Bool
    private let environment: [String: String]

    /// A reader of this installation; without a sandbox it is isolated as far as an ordinary process can be.
    public init(_ installation: Installation, isSandboxed: Bool, environment: [String: String]) {
        self.installation = installation
        self.isSandboxed = isSandboxed
        self.environment = environment
    }

    /// Reads a file with an Arrow IPC stream.
    ///
    /// - Parameters:
    ///   - rows: how many of the first rows; nil: all.
    ///   - format: how they are written.
    ///   - columns: the longest line of a table; nil: any.
    ///   - isWhole: whether no cell of a table is cut.
    ///   - show: takes text, piece by piece, which may end anywhere; nothing more is read before it returns. False ends it.
    /// - Throws: `EngineError.interrupted` when a signal arrives, `EngineError.planner` when the rows can't be read.
    public func read(
        _ path: String, rows: Int?, format: Format, columns: Int?, isWhole: Bool, signals: SignalDescriptor,
        show: ([UInt8]) -> Bool
    ) throws {
        let start =
            "import sys; sys.path.insert(0, sys.argv[1]); from zerrow.worker.rows import main; sys.exit(main(sys.argv[2:]))"
        var arguments = [installation.python, "-I", "-X", "utf8", "-c", start, installation.pythonFolder, path]
        arguments += ["--format", format.rawValue]
        if let rows { arguments += ["--rows", "\(rows)"] }
        if let columns { arguments += ["--width", "\(columns)"] }
        if isWhole { arguments.append("--whole") }
        var variables = ["ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"]
        for name in ["TZ", "LANG", "LC_ALL", "LD_LIBRARY_PATH"] { variables[name] = environment[name] }
        let spec = ReaderSpec(
            arguments: arguments, environment: variables,
            readPaths: try installation.interpreterFolders(installation.python) + [
                installation.pythonFolder, Path.parent(path),
            ], isSandboxed: isSandboxed, memoryBytesMax: Self.memoryBytesMax, outputBytesMax: 1 << 20)
        try run(spec, signals, show)
    }

    private func run(_ spec: ReaderSpec, _ signals: SignalDescriptor, _ show: ([UInt8]) -> Bool) throws {
        let errors = try FileDescriptor.memory(named: "row-errors", bytes: 0, sealable: false)
        let (ours, theirs) = try MessageSocket.pair()
        defer { withExtendedLifetime(ours) {} }
        var (reading, writing): (DescriptorBox, DescriptorBox?) = try DescriptorBox.pipe()
        let reader = try Reader(
            spec, control: theirs.descriptor, output: writing!.descriptor, errors: errors)
        defer { reader.kill() }
        // The end of what it writes is to be seen.
        writing = nil
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let ready = try Poll.wait([(signals.raw, .read), (reading.raw, .read)], timeoutMilliseconds: 60_000)
            if try signals.next() != nil { throw EngineError.interrupted }
            if ready[1].isEmpty { continue }
            let count = try piece.withUnsafeMutableBufferPointer { (buffer) throws(SystemError) in
                try reading.descriptor.read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            if count == 0 { break }
            if !show(Array(piece[..<count])) { return }
        }
        let ending = reader.wait()
        guard ending != .exited(0) else { return }
        let bytes = try errors.status().bytes
        let said = String(decoding: try errors.bytes(max(0, bytes - Self.errorBytesMax)..<bytes), as: UTF8.self)
        throw EngineError.planner("the rows can't be shown: what reads them ended (\(ending))\n\(said)")
    }
}
