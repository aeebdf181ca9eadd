/// Forecasts of how much memory models need, in bytes: as much as they needed before, else as much as they read.
///
/// Owns the history of earlier runs and the sizes of the last outputs. All sums saturate: figures come from footers, files and other
/// processes. Used on the engine's thread.
final class MemoryForecast {
    /// A model that is to run, as far as its need depends on it.
    struct Subject {
        /// Stands for the model's code; nil when it can't be told.
        var code: String?
        /// The bytes of the tables that it reads, each once.
        var inputBytes: UInt64
        /// The bytes that a scan's columns take once decoded; nil for other models.
        var decodedBytes: UInt64?

        /// The bytes of everything that it reads.
        var readBytes: Int64 {
            let (sum, isTooMuch) = inputBytes.addingReportingOverflow(decodedBytes ?? 0)
            return isTooMuch ? .max : Int64(clamping: sum)
        }
    }

    /// The bytes that a worker takes beside its inputs and its result, as long as nothing better is known.
    static let workerBytes = 64 << 20
    /// The bytes that every worker takes at least.
    private static let workerBytesMin = 16 << 20
    /// No figure is larger, in bytes: sums of some figures stay far from overflowing.
    static let bytesMax = 1 << 56

    /// The needs of earlier runs; nil where there is no place to keep them.
    private let history: History?
    /// How much memory a model's output took last time, by project and model: it decides which memory is recycled for it.
    private var outputBytes: [String: Int] = [:]

    init(_ history: History?) { self.history = history }

    /// How much memory the model will probably take for itself, its result included, in bytes.
    ///
    /// As much as it took last time, and a tenth more. If it never ran: as much as it reads, because most results are smaller
    /// than that; for a scan, as much as its columns take once decoded, and a quarter more.
    func expectedBytes(of subject: Subject) -> Int {
        if let code = subject.code, let need = history?.need(code: code, inputBytes: subject.readBytes) {
            let bytes = Int(clamping: need.memoryBytes)
            return min(Self.bytesMax, max(Self.workerBytesMin, bytes / 10 * 11))
        }
        let bytes = min(Self.bytesMax / 2, Int(clamping: subject.readBytes))
        return Self.workerBytes + (subject.decodedBytes == nil ? bytes : bytes / 4 * 5)
    }

    /// Remembers what an execution of a model took, for the next time.
    ///
    /// - Parameters:
    ///   - memoryBytes: the most memory it held; 0 where that is unknown.
    ///   - outputBytes: the bytes of its result that were its own.
    ///   - wasKilled: whether it had too little, so that it needs more than it held.
    ///   - seconds: the time from its grant to its table.
    func note(
        _ subject: Subject, memoryBytes: UInt64, outputBytes: UInt64, wasKilled: Bool, seconds: Double
    ) {
        guard let code = subject.code, memoryBytes > 0 else { return }
        let bytes = min(memoryBytes, UInt64(Self.bytesMax))
        history?.note(
            code: code,
            History.Need(
                inputBytes: subject.readBytes, memoryBytes: Int64(clamping: wasKilled ? bytes / 2 * 3 : bytes),
                outputBytes: Int64(clamping: outputBytes), seconds: seconds))
    }

    // MARK: Outputs

    /// How much memory the output of that name took last time, in bytes; 0 when that is unknown.
    func outputBytes(of name: String) -> Int { outputBytes[name] ?? 0 }

    /// Remembers how much memory an output took.
    func noteOutput(of name: String, bytes: UInt64) { outputBytes[name] = max(1, Int(clamping: bytes)) }

    // MARK: The history's file

    /// Reads what is known of models from the history's file, in the background; at once where there is nothing to wait for, or where
    /// the file answers nobody.
    func read(_ codes: Set<String>, by background: BackgroundWork, then: @escaping () -> Void) {
        guard let history, !codes.isEmpty, !history.isReading else { return then() }
        history.read(codes, by: background, then: then)
    }

    /// Begins to write what was noted.
    func save(by background: BackgroundWork) { history?.save(by: background) }

    /// Whether the history is being written.
    var isWriting: Bool { history?.isWriting == true }

    /// What the user should know of the history; each once.
    func takeNotes() -> [String] { history?.takeNotes() ?? [] }

    /// How many executions are not remembered yet.
    var unwrittenCount: Int { history?.unwrittenCount ?? 0 }
}

extension Run {
    /// The facts that a model's need depends on: its code, and the bytes it reads.
    func subject(_ model: Int) -> MemoryForecast.Subject {
        let inputs = Set(inputs(of: model).compactMap { tables[$0] })
        let bytes = inputs.reduce(0) { $0 + engine.store.namedBytes(of: $1) }
        return MemoryForecast.Subject(
            code: isPreview(model) ? nil : plan.models[model].code, inputBytes: UInt64(clamping: bytes),
            decodedBytes: planModel(model).expectedBytes)
    }

    /// The name of a model's output across all runs and projects.
    func outputKey(of model: Int) -> String { plan.project.folder + "\0" + name(of: model) }
}
