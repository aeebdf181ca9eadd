import System

/// A zygote's message, read in this one place. The code that receives it decides whether it may come then.
enum ZygoteMessage {
    /// Its packages are imported.
    case ready
    /// A worker is there; the descriptor is its pidfd.
    case forked(worker: String, pidfd: DescriptorBox)
    /// A worker could not be forked.
    case forkFailed(worker: String, reason: String)
    /// A worker and all it started are dead.
    case exited(worker: String, WorkerProcess.Exit)

    /// Reads a message, with the descriptors that came beside it.
    init(_ message: Datagram, _ descriptors: [DescriptorBox]) throws(Malformed) {
        guard let op = Op.Zygote(rawValue: message.op) else { throw .unknown(message.op) }
        if op == .ready {
            self = .ready
            return
        }
        guard let worker = message.body["worker"]?.string else {
            throw Malformed("a message '\(op.rawValue)' without a worker")
        }
        switch op {
        case .ready: self = .ready
        case .forked:
            guard descriptors.count == 1 else { throw Malformed("no descriptor of a worker") }
            self = .forked(worker: worker, pidfd: descriptors[0])
        case .forkFailed:
            self = .forkFailed(worker: worker, reason: message.body["message"]?.text ?? "no reason given")
        case .exited: self = .exited(worker: worker, WorkerProcess.Exit(message.body))
        }
    }

    /// The worker that it is about; nil for one about the zygote itself.
    var worker: String? {
        switch self {
        case .ready: nil
        case .forked(let worker, _), .forkFailed(let worker, _), .exited(let worker, _): worker
        }
    }

    /// Its op.
    var op: Op.Zygote {
        switch self {
        case .ready: .ready
        case .forked: .forked
        case .forkFailed: .forkFailed
        case .exited: .exited
        }
    }
}

extension WorkerProcess.Exit {
    /// The zygote's report of an end; a figure that is no number counts as 0.
    fileprivate init(_ body: JSONValue) {
        self.init(
            status: Int32(clamping: body["status"]?.integer ?? 0),
            signal: body["signal"]?.integer.map { Int32(clamping: $0) },
            memoryBytesMax: UInt64(clamping: body["memory_bytes_max"]?.integer ?? 0),
            cpuMilliseconds: max(0, body["cpu_ms"]?.number ?? 0))
    }
}
