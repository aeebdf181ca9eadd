import Glibc
import System

/// A tool of the engine's at work (uv, or Python's compiler), in a process group of its own with a small process around it that ends it,
/// and all that it started, when the engine asks for it or is dead.
final class ToolProcess {
    /// How a tool ended, and what it printed.
    struct Result {
        let ending: ChildProcess.Ending
        let output: [UInt8]
        /// The end of its errors, for people.
        let errors: String

        var isSuccess: Bool { ending == .exited(0) }
    }

    private static let outputBytesMax = 8 << 20
    private static let errorBytesMax = 6000

    private let child: ChildProcess
    private let process: ProcessDescriptor
    private let output: FileDescriptor
    private let errors: FileDescriptor
    /// Nothing is ever written to it; its end tells the process around the tool to end it.
    private var pipe: DescriptorBox?
    private var isReaped = false

    /// Polls readable when it has ended.
    var raw: Int32 { process.raw }

    /// Starts a tool in a folder.
    ///
    /// - Parameters:
    ///   - executable: zerrow's own, which is the process around it.
    ///   - lock: stays locked until the tool is over, also when this process is killed.
    init(
        _ arguments: [String], executable: String, variables: [String: String], folder: String, lock: DescriptorBox? = nil
    ) throws(SystemError) {
        let (reading, writing) = try DescriptorBox.pipe()
        output = try .memory(named: "tool-output", bytes: 0, sealable: false)
        errors = try .memory(named: "tool-errors", bytes: 0, sealable: false)
        child = try ChildProcess(
            [executable, "run-prepare", "--"] + arguments, environment: variables, folder: folder,
            output: .descriptor(output.raw), errors: .descriptor(errors.raw),
            inherited: [reading.raw] + (lock.map { [$0.raw] } ?? []))
        process = try ProcessDescriptor(process: child.pid)
        pipe = writing
    }

    /// Tells it to end.
    func stop() { pipe = nil }

    /// Waits for its end.
    func finish() throws(SystemError) -> Result {
        isReaped = true
        let ending = try child.wait()
        pipe = nil
        let bytes = try output.status().bytes
        guard bytes <= Self.outputBytesMax else {
            throw SystemError(.read, errno: EFBIG, context: "the output of a tool")
        }
        let length = try errors.status().bytes
        let end = try errors.bytes(max(0, length - Self.errorBytesMax)..<length)
        return Result(ending: ending, output: try output.bytes(0..<bytes), errors: Self.shown(end))
    }

    /// Waits for its end, or for one of some descriptors to be readable, which stops it.
    ///
    /// - Throws: `EngineError.interrupted` then.
    func finish(unless stopping: [Int32]) throws -> Result {
        let ready = try Poll.wait(([raw] + stopping).map { ($0, .read) })
        if ready.dropFirst().contains(where: { !$0.isEmpty }) {
            stop()
            _ = try finish()
            throw EngineError.interrupted
        }
        return try finish()
    }

    deinit {
        guard !isReaped else { return }
        pipe = nil
        _ = try? child.wait()
    }

    /// Errors as text that drives no terminal, without names and passwords in addresses.
    private static func shown(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
            .replacing(#/:\/\/[^\/\s@`'"]*@/#, with: "://***@")
        let lines = text.split(separator: "\n").map { line in
            String(line.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) })
        }
        return lines.joined(separator: "\n")
    }
}
