import Glibc
import Sandbox
import System

/// The limits of a planner.
struct PlannerLimits {
    /// Seconds from its start to its end.
    var seconds = 300.0
    /// Memory, in bytes.
    var memoryBytesMax: UInt64
    /// Its answer, in bytes.
    static let outputBytesMax = Limit.planBytesMax

    /// The usual limits, or those that `ZERROW_PLAN_TIMEOUT` and `ZERROW_PLAN_MEMORY` say.
    ///
    /// - Throws: `EngineError.options` for a text that is neither a number of seconds nor of bytes.
    init(_ environment: [String: String], machineBytes: UInt64?) throws(EngineError) {
        memoryBytesMax = min(max((machineBytes ?? (8 << 30)) / 2, 2 << 30), 8 << 30)
        if let text = environment["ZERROW_PLAN_TIMEOUT"], !text.isEmpty {
            guard let number = Double(text), number > 0, number < 1e9 else {
                throw .options("ZERROW_PLAN_TIMEOUT is '\(text)', and not a positive number of seconds")
            }
            seconds = number
        }
        if let text = environment["ZERROW_PLAN_MEMORY"], !text.isEmpty {
            guard let bytes = Self.bytes(text), bytes >= 64 << 20 else {
                throw .options("ZERROW_PLAN_MEMORY is '\(text)', and not a size of 64M or more, such as 4G")
            }
            memoryBytesMax = bytes
        }
    }

    private static func bytes(_ text: String) -> UInt64? {
        let units: [Character: UInt64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
        let unit = text.last.flatMap { units[$0] }
        guard let number = UInt64(unit == nil ? text : String(text.dropLast())) else { return nil }
        let (bytes, overflows) = number.multipliedReportingOverflow(by: unit ?? 1)
        return overflows ? nil : bytes
    }
}

/// One planner at work: it asks for what it may not see itself, and is ended if it takes too long.
struct PlannerProcess {
    /// How it ended, and the bytes that it wrote.
    struct Result {
        var ending: ChildProcess.Ending
        var output: [UInt8]
        /// The end of the errors that it wrote.
        var errors: [UInt8]
        /// The thing that it was reading at the end.
        var place: String?
        /// The process, where its end has not been waited for.
        var remains: (any Sendable)?

        /// Whether it is a plan, or says what is wrong with the project.
        var isAnswer: Bool {
            ending == .exited(0) || ending == .exited(1) && PlannerAnswer.problems(output) != nil
        }
    }

    private static let errorBytesMax = 4000

    let spec: ReaderSpec
    let limits: PlannerLimits
    let environments: EnvironmentResolver
    let signals: SignalDescriptor?
    /// What it is told of the catalog.
    let catalog: CatalogAnswers

    /// Runs it to its end. A signal ends it early, as `EngineError.interrupted`; too much time as `EngineError.project`.
    func run() throws -> Result {
        let result = try run { (control, output, errors) throws(SandboxError) in
            try Reader(spec, control: control.descriptor, output: output.descriptor, errors: errors.descriptor)
        }
        guard let result else { preconditionFailure("how a child has ended can be told") }
        return result
    }

    /// The same with a planner of the engine that serves; nil when there is none, or when it did not end as planners do: then nothing is known.
    ///
    /// - Parameter arguments: the planner's own, which those of `spec` end with.
    func run(servedAt address: ServeAddress, _ call: PlannerCall, _ arguments: [String]) throws -> Result? {
        let result = try run { (control, output, errors) in
            ServedPlanner(
                at: address, call, arguments, spec, control: control.descriptor, output: output.descriptor,
                errors: errors.descriptor)
        }
        guard let result, result.isAnswer else { return nil }
        return result
    }

    private func run<Failure: Error>(
        with start: (_ control: MessageSocket, _ output: DescriptorBox, _ errors: DescriptorBox) throws(Failure) ->
            (any PlanningProcess)?
    ) throws -> Result? {
        // Files, not pipes: neither stream can fill up and stop the program.
        let output = DescriptorBox(try FileDescriptor.memory(named: "plan-output", bytes: 0, sealable: false))
        let errors = DescriptorBox(try FileDescriptor.memory(named: "plan-errors", bytes: 0, sealable: false))
        let (ours, theirs) = try MessageSocket.pair()
        guard let planner = try start(theirs, output, errors) else { return nil }
        // A planner that is ended leaves nothing of itself: the processes that it started are killed with it.
        defer { planner.kill() }
        let (place, status) = try attend(planner, ours)
        var remains: (any Sendable)?
        var ending: ChildProcess.Ending?
        if let status {
            (remains, ending) = (planner.leave(), .exited(status))
        } else {
            planner.kill()
            ending = planner.end()
        }
        guard let ending else { return nil }
        return Result(
            ending: ending, output: try Self.content(output.descriptor, bytesMax: PlannerLimits.outputBytesMax),
            errors: try Self.end(of: errors.descriptor), place: place, remains: remains)
    }

    /// Answers its questions until it has ended, or says that it has printed all.
    ///
    /// - Returns: the thing that it was reading then; the status that it is going to exit with, where it lives.
    private func attend(
        _ planner: any PlanningProcess, _ socket: MessageSocket
    ) throws -> (place: String?, status: Int32?) {
        var deadline = MonotonicClock.nanoseconds() + UInt64(limits.seconds * 1e9)
        let answers = SourceAnswers(catalog)
        var place: String?
        var answer: SourceAnswers.Answer?
        var message: [UInt8]?
        var isOpen = true
        while true {
            let now = MonotonicClock.nanoseconds()
            guard now < deadline else { throw tookTooLong(place) }
            var entries: [(raw: Int32, events: Poll.Events)] = [(planner.raw, .read)]
            if let signals { entries.append((signals.raw, .read)) }
            if isOpen { entries.append((socket.raw, message == nil ? .read : .write)) }
            let ready = try Poll.wait(entries, timeoutMilliseconds: Int((deadline - now) / 1_000_000) + 1)
            // First: a Ctrl-C must not look like a failure.
            if try signals?.next() != nil { throw EngineError.interrupted }
            if isOpen, let events = ready.last, !events.isEmpty {
                if message == nil {
                    switch try socket.receive(
                        bytesMax: SourceAnswers.questionBytesMax, descriptorsMax: 0, wait: false)
                    {
                    case .message(let said):
                        if said.bytes.first == SourceAnswers.note {
                            place = Self.place(said.bytes)
                        } else if said.bytes.first == SourceAnswers.done, said.bytes.count == 2 {
                            return (place, Int32(said.bytes[1]))
                        } else if said.bytes.first == EnvironmentResolver.question, said.bytes.count > 5 {
                            let found = try environments.answer(Array(said.bytes[5...]))
                            answer = SourceAnswers.Answer(to: said.bytes, found)
                            message = answer?.next()
                            // That may take as long as the network does.
                            deadline += MonotonicClock.nanoseconds() - now
                        } else {
                            answer = try answers.answer(said.bytes)
                            message = answer?.next()
                        }
                    case .closed: isOpen = false
                    case .nothing: break
                    }
                } else {
                    isOpen = try send(&message, of: &answer, to: socket)
                }
                continue
            }
            if !ready[0].isEmpty { return (place, nil) }
        }
    }

    /// Sends as much as the socket takes; false when nobody reads.
    private func send(
        _ message: inout [UInt8]?, of answer: inout SourceAnswers.Answer?, to socket: MessageSocket
    ) throws -> Bool {
        do throws(SystemError) {
            while let next = message {
                try socket.send(next, wait: false)
                message = answer?.next()
            }
            return true
        } catch {
            if error.errno == EAGAIN { return true }
            guard [EPIPE, ECONNRESET].contains(error.errno) else { throw error }
            message = nil
            return false
        }
    }

    private func tookTooLong(_ place: String?) -> EngineError {
        let doing = place.map { ", and was at \($0) then" } ?? ""
        return .project([
            Plan.Problem(
                code: "plan-timeout",
                message: "reading the project took more than \(Self.text(limits.seconds)) s\(doing)", model: nil,
                file: nil, line: nil,
                hint: "give it more with ZERROW_PLAN_TIMEOUT=SECONDS, or make the project smaller")
        ])
    }

    private static func text(_ seconds: Double) -> String {
        seconds == seconds.rounded() ? "\(Int(seconds))" : "\(seconds)"
    }

    /// A note of where it is: its kind and a text, which is a stranger's.
    private static func place(_ note: [UInt8]) -> String {
        let text = String(decoding: note.dropFirst().prefix(300), as: UTF8.self)
        return String(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) })
    }

    private static func content(_ file: borrowing FileDescriptor, bytesMax: Int) throws -> [UInt8] {
        let bytes = try file.status().bytes
        guard bytes <= bytesMax else { throw Planner.tooLong }
        return try file.bytes(0..<bytes)
    }

    private static func end(of file: borrowing FileDescriptor) throws -> [UInt8] {
        let bytes = try file.status().bytes
        return try file.bytes(max(0, bytes - errorBytesMax)..<bytes)
    }
}
