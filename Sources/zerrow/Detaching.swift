import Engine
import System

/// Letting a run go on without the terminal that it was called from.
enum Detaching {
    /// Goes on in a process of its own, in its own session, without any of the caller's streams. The process that was called waits until
    /// the job is remembered, prints its id, or as JSON what a list of jobs has of it, and ends.
    ///
    /// - Throws: `EngineError.options` when the job can't be remembered: nobody could ask for it.
    static func goOn(_ job: JobRecorder, _ output: OutputFormat) throws {
        var (reading, writing): (DescriptorBox, DescriptorBox?) = try DescriptorBox.pipe()
        switch try DetachedProcess.fork() {
        case .caller:
            // Its end is to be seen if the other process ends.
            writing = nil
            let answer = try answer(from: reading)
            guard answer.isEmpty else {
                throw EngineError.options(
                    "--detach: the job can't be remembered, so nobody could ask for it: \(answer)")
            }
            Output.result(output == .json ? JSONText.of(job.job.summary) : job.job.id)
            Output.leave(0)
        case .detached:
            let problem = job.beginForked()
            let text = problem ?? "begun"
            try? Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(SystemError) in
                try writing?.descriptor.writeAll(UnsafeRawBufferPointer(bytes))
            }
            if problem != nil { Output.leave(1) }
        }
    }

    /// What the process that goes on says; empty when the job is remembered.
    private static func answer(from reading: DescriptorBox) throws -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = try piece.withUnsafeMutableBufferPointer { (buffer) throws(SystemError) in
                try reading.descriptor.read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            bytes += piece[..<count]
            if count == 0 || bytes.count >= 4096 || bytes == Array("begun".utf8) { break }
        }
        let text = String(decoding: bytes, as: UTF8.self)
        return text == "begun" ? "" : text.isEmpty ? "its process ended" : text
    }
}
